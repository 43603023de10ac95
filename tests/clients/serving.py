"""A server of a model that the test makes, and what the program itself says of it."""
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile

KEY = "a-key-for-tests-alone"
TEMPLATE = ("{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
            "{% if add_generation_prompt %}assistant:{% endif %}")


class Program:
    """The program, with a quantized copy of the sample model."""

    def __init__(self, path, folder, sample):
        self.path = path
        self.model = os.path.join(folder, "sample-w4")
        self.run("quantize", sample, self.model, "--recipe", "quarot-rtn")
        with open(os.path.join(self.model, "chat_template.jinja"), "w") as file:
            file.write(TEMPLATE)

    def run(self, *arguments):
        done = subprocess.run([self.path, *arguments], capture_output=True, text=True, timeout=300)
        if done.returncode != 0:
            sys.exit(f"{' '.join(arguments)}: {done.stderr}")
        return done.stdout

    def generate(self, prompt, n, *more):
        return json.loads(self.run("generate", "-m", self.model, "-p", prompt, "-n", str(n),
                                   "--json", *more))["text"]

    @contextlib.contextmanager
    def serving(self, *flags):
        """The address of a server, which must end in order."""
        server = subprocess.Popen([self.path, "serve", self.model, "--port", "0", *flags],
                                  stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        try:
            address = None
            for line in server.stderr:
                found = re.search(r"serving .* at (http://\S+)", line)
                if found:
                    address = found[1]
                    break
            if address is None:
                sys.exit("the server did not start")
            yield address
        finally:
            server.send_signal(signal.SIGTERM)
            rest = server.communicate(timeout=60)[1]
        if server.returncode != 0:
            sys.exit(f"the server ended with {server.returncode}: {rest}")


@contextlib.contextmanager
def program(path, sample):
    with tempfile.TemporaryDirectory() as folder:
        yield Program(path, folder, sample)


def check(holds, what):
    if not holds:
        sys.exit(f"FAILED: {what}")
