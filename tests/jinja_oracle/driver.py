"""The template interpreter under test, behind a pipe."""
import json
import subprocess
import threading

from environment import NOW_NUMBERS


def render_all(driver, cases):
    """Answers for [(template, variables), ...], in order."""
    process = subprocess.Popen([driver], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def feed():
        for source, variables in cases:
            request = {"template": source, "variables": variables, "now": NOW_NUMBERS}
            process.stdin.write(json.dumps(request).encode() + b"\n")
        process.stdin.close()

    feeder = threading.Thread(target=feed)
    feeder.start()
    answers = [json.loads(line) for line in process.stdout]
    feeder.join()
    status = process.wait()
    if status != 0 or len(answers) != len(cases):
        shown = repr(cases[len(answers)]) if len(answers) < len(cases) else ""
        raise SystemExit(f"the driver ended with {status} after {len(answers)} of {len(cases)}: "
                         f"{shown}")
    return answers
