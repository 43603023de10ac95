#!/usr/bin/env python3
"""A server that is killed under load, again and again: what do its clients see, and what does it leave?

restart.py PROGRAM SAMPLE_MODEL

Quantizes the sample model, serves it and kills the server while clients stream. They may see closed
connections and nothing else; the next server takes the same port at once and gives the same texts, on
one rank and on two; the model's folder is not touched. Then signals: the first lets answers end, the
second ends the process. Needs no packages.
"""
import hashlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

PROMPTS = ["It was a dark and stormy", "The old man", "In the year", "She had never"]
N_KILLS = 4
N_CLIENTS = 6


def check(holds, what):
    if not holds:
        sys.exit(f"FAILED: {what}")


class Server:
    def __init__(self, program, model, port, *flags):
        self.process = subprocess.Popen(
            [program, "serve", model, "--port", str(port), "--access-log", "off", *flags],
            stderr=subprocess.PIPE, text=True)
        said = ""
        for line in self.process.stderr:
            said += line
            found = re.search(r"http://127.0.0.1:(\d+)", line)
            if found:
                self.port = int(found[1])
                self.said = said
                return
        sys.exit("FAILED: the server did not start: " + said)

    def end(self, *signals):
        for number in signals:
            self.process.send_signal(number)
        self.process.communicate(timeout=60)
        return self.process.returncode


def ask(port, prompt, n_tokens, stream=False, n=1):
    """All that comes until the connection ends; nothing if there is none."""
    body = json.dumps({"prompt": prompt, "max_tokens": n_tokens, "temperature": 1, "seed": 7,
                       "ignore_eos": True, "stream": stream, "n": n}).encode()
    answer = b""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
            connection.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                               b"Content-Length: %d\r\n\r\n" % len(body) + body)
            while piece := connection.recv(65536):
                answer += piece
    except ConnectionError:
        pass
    return answer


def text_of(answer):
    check(answer.startswith(b"HTTP/1.1 200"), f"not answered: {answer[:200]}")
    return json.loads(answer.partition(b"\r\n\r\n")[2])["choices"][0]["text"]


def texts(port):
    return [text_of(ask(port, prompt, 24)) for prompt in PROMPTS]


class Load:
    """Clients that stream one answer after the other until the server is gone."""

    def __init__(self, port):
        self.port = port
        self.stops = False
        self.n_whole = self.n_cut = 0
        self.odd = []
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.run, args=(i,)) for i in range(N_CLIENTS)]
        for thread in self.threads:
            thread.start()

    def run(self, number):
        while not self.stops:
            answer = ask(self.port, PROMPTS[number % len(PROMPTS)], 200, stream=True)
            is_whole = answer.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
            is_known = not answer or answer.startswith(b"HTTP/1.1 200") and b'"error"' not in answer
            with self.lock:
                self.n_whole += is_whole
                self.n_cut += answer != b"" and not is_whole
                if not is_known:
                    self.odd.append(answer[-300:])

    def end(self):
        self.stops = True
        for thread in self.threads:
            thread.join()


def contents(folder):
    found = {}
    for place, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(place, name)
            with open(path, "rb") as file:
                found[path] = hashlib.sha256(file.read()).hexdigest(), os.stat(path).st_mtime_ns
    return found


def kill_under_load(program, model):
    server = Server(program, model, 0)
    port, expected = server.port, texts(server.port)
    n_cut = 0
    for number in range(N_KILLS):
        load = Load(port)
        time.sleep(0.3 + 0.4 * number)
        check(server.end(signal.SIGKILL) == -signal.SIGKILL, "the server ended before it was killed")
        load.end()
        check(not load.odd, f"a client saw more than a closed connection: {load.odd}")
        n_cut += load.n_cut
        server = Server(program, model, port)  # the same port, whose connections are just gone
        check(texts(port) == expected, "other texts after a restart")
    check(n_cut > 0, "no answer was cut")
    check(server.end(signal.SIGTERM) == 0, "the last server did not end in order")
    ranks = Server(program, model, port, "--tp", "2")
    check("2 ranks" in ranks.said, ranks.said)
    check(texts(port) == expected, "other texts on two ranks")
    check(ranks.end(signal.SIGTERM) == 0, "the ranks did not end in order")
    return n_cut


def signals_under_load(program, model):
    server = Server(program, model, 0, "--drain-timeout", "50")
    whole = []
    client = threading.Thread(
        target=lambda: whole.append(ask(server.port, PROMPTS[0], 900, stream=True, n=8)))
    client.start()
    time.sleep(0.2)
    check(server.end(signal.SIGTERM) == 0, "the server did not drain")
    client.join()
    check(b"data: [DONE]" in whole[0], "an answer was cut though there was time for it")

    server = Server(program, model, 0, "--drain-timeout", "50")
    client = threading.Thread(target=ask, args=(server.port, PROMPTS * 16, 900, True, 4))
    client.start()
    time.sleep(0.2)
    server.process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    since = time.time()
    code = server.end(signal.SIGTERM)
    client.join()
    check(code == 128 + signal.SIGTERM and time.time() - since < 5,
          f"the second signal ended it with {code} after {time.time() - since:.1f} s")


def main():
    program, sample = sys.argv[1:3]
    with tempfile.TemporaryDirectory() as folder:
        model = os.path.join(folder, "model")
        subprocess.run([program, "quantize", sample, model, "--recipe", "quarot-rtn", "--tp-max", "2"],
                       check=True, capture_output=True)
        before = contents(folder)
        n_cut = kill_under_load(program, model)
        signals_under_load(program, model)
        check(contents(folder) == before, "the servers changed the folder")
    print(f"{N_KILLS} kills, {n_cut} answers cut, same texts behind each")


main()
