"""Long calls leave Python to others, and end when a signal comes."""

import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest

import quarot

PREAMBLE = f"""
import sys
import quarot
sample = sys.argv[1]
"""
CALLS = {
    "from_pretrained and quantize": """
        text = open(sample + "/calib.txt").read()
        quarot.quantize(sample, sys.argv[2], calibration_text=text, window_tokens=1024)""",
    "generate": """
        slow = quarot.Model.from_pretrained(sample, device="reference")
        print("ready", flush=True)
        slow.generate("It was", ignore_end_tokens=True)""",
    "stream": """
        slow = quarot.Model.from_pretrained(sample, device="reference")
        print("ready", flush=True)
        slow.stream("It was", ignore_end_tokens=True).result()""",
    "logits": """
        slow = quarot.Model.from_pretrained(sample, device="reference")
        print("ready", flush=True)
        slow.logits([7] * 2000)""",
    "loglikelihood": """
        model = quarot.Model.from_pretrained(sample)
        pairs = [(f"{i} " * 200, " and the end of it") for i in range(4000)]
        print("ready", flush=True)
        model.loglikelihood(pairs)""",
    "perplexity": """
        slow = quarot.Model.from_pretrained(sample, device="reference")
        print("ready", flush=True)
        slow.perplexity([7] * 20000, window_tokens=100)""",
}


@pytest.mark.parametrize("name", CALLS)
def test_ctrl_c_ends_a_call_with_keyboard_interrupt(name, sample, tmp_path):
    call = textwrap.dedent(CALLS[name])
    if "ready" not in call:
        call = 'print("ready", flush=True)' + call
    script = PREAMBLE + f"""
try:
{textwrap.indent(call, "    ")}
    print("came to its end")
except KeyboardInterrupt:
    print("interrupted", flush=True)
    model = quarot.Model.from_pretrained(sample)
    print(model.generate("It was", max_tokens=3).finish_reason)
"""
    child = subprocess.Popen([sys.executable, "-c", script, sample, tmp_path / "out"],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "ready\n", child.stderr.read()
    time.sleep(1)
    child.send_signal(signal.SIGINT)
    start = time.monotonic()
    assert child.stdout.readline() == "interrupted\n", child.stderr.read()
    waited = time.monotonic() - start
    out, err = child.communicate(timeout=60)
    assert (out, child.returncode) == ("length\n", 0), err
    assert waited < 5, "seconds from the signal to the exception"


def test_another_signal_handlers_exception_comes_through(model):
    class Alarm(Exception):
        pass

    def raise_alarm(number, frame):
        raise Alarm

    before = signal.signal(signal.SIGALRM, raise_alarm)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(Alarm):
            while True:
                model.generate("It was", ignore_end_tokens=True)
    finally:
        signal.signal(signal.SIGALRM, before)


def longest_pause_of_another_thread(call):
    """Seconds that a thread of Python's could not run during the call, and those of the call."""
    pauses, done = [0.0], threading.Event()

    def tick():
        last = time.monotonic()
        while not done.is_set():
            time.sleep(0.001)
            now = time.monotonic()
            pauses.append(now - last)
            last = now

    thread = threading.Thread(target=tick)
    thread.start()
    start = time.monotonic()
    call()
    seconds = time.monotonic() - start
    done.set()
    thread.join()
    return max(pauses), seconds


def test_other_threads_of_python_run_meanwhile(model, sample, tmp_path):
    slow = quarot.Model.from_pretrained(sample, device="reference", threads=1)
    pairs = [(f"{i} " * 100, " end") for i in range(100)]
    calls = {
        "generate": lambda: slow.generate("It was", max_tokens=60, ignore_end_tokens=True),
        "stream": lambda: slow.stream("It", max_tokens=60, ignore_end_tokens=True).result(),
        "logits": lambda: slow.logits([7] * 600),
        "loglikelihood": lambda: model.loglikelihood(pairs),
        "perplexity": lambda: slow.perplexity([7] * 600, window_tokens=300),
        "quantize": lambda: quarot.quantize(sample, tmp_path / "out", recipe="quarot-rtn"),
    }
    for name, call in calls.items():
        pause, seconds = longest_pause_of_another_thread(call)
        assert seconds > 0.3, f"{name} is too short to tell"
        assert pause < 0.5 * seconds, name


def test_one_model_serves_threads_of_python(model):
    prompts = [f"Chapter {i}. The" for i in range(6)]
    found = {}

    def run(prompt):
        found[prompt] = model.generate(prompt, max_tokens=20).ids

    threads = [threading.Thread(target=run, args=(prompt,)) for prompt in prompts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {prompt: model.generate(prompt, max_tokens=20).ids for prompt in prompts}
