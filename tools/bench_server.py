#!/usr/bin/env python3
"""Tokens a second through `quarot serve`, for some numbers of clients, beside `quarot bench`.

bench_server.py PROGRAM MODEL [--clients 1,16] [--tokens 128] [--rounds 3] [-t 2]

Each client streams one greedy completion of a short prompt; a round is all clients at once. Prints
medians over rounds: tokens a second from the first token of the first client to the last token of
the last one, and the median time to first token. One client beside `quarot bench` tg shows what the
server costs. Needs no packages.
"""
import argparse
import json
import re
import selectors
import signal
import socket
import statistics
import subprocess
import sys
import time


def start(program, model, threads, sequences):
    server = subprocess.Popen(
        [program, "serve", model, "--port", "0", "--access-log", "off", "-t", str(threads),
         "--max-batch", str(sequences), "--ctx", "1024"], stderr=subprocess.PIPE, text=True)
    for line in server.stderr:
        found = re.search(r"http://127.0.0.1:(\d+)", line)
        if found:
            return server, int(found[1])
    sys.exit("the server did not start")


class Stream:
    """One client: times of its first and its last token, and how many there were."""

    def __init__(self, port, number, n_tokens, words=""):
        body = json.dumps({"prompt": f"Client {number} tells a long story about the sea and its ships{words}",
                           "max_tokens": n_tokens, "temperature": 0, "ignore_eos": True, "stream": True,
                           "stream_options": {"include_usage": True}}).encode()
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.first = self.last = None
        self.rest = b""
        self.since = time.perf_counter()
        self.socket.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                            b"Content-Length: %d\r\n\r\n" % len(body) + body)

    def read(self):
        """False: the answer has ended."""
        piece = self.socket.recv(65536)
        if b"data: {" in piece:
            self.last = time.perf_counter()
            self.first = self.first or self.last
        self.rest = (self.rest + piece)[-2000:]
        return piece != b""

    def n_tokens(self):
        return int(re.search(rb'"completion_tokens":(\d+)', self.rest)[1])


# One thread without a framework, whose own time per token is small beside the server's: all of them
# share the processors.
def one_round(port, n_clients, n_tokens):
    streams = [Stream(port, i, n_tokens) for i in range(n_clients)]
    with selectors.DefaultSelector() as selector:
        for stream in streams:
            selector.register(stream.socket, selectors.EVENT_READ, stream)
        while selector.get_map():
            for key, _ in selector.select():
                if not key.data.read():
                    selector.unregister(key.fileobj)
                    key.fileobj.close()
    first = min(stream.first for stream in streams)
    last = max(stream.last for stream in streams)
    made = sum(stream.n_tokens() for stream in streams) - n_clients  # behind the first ones
    return made / (last - first), statistics.median(s.first - s.since for s in streams)


def bench_speed(arguments):
    done = subprocess.run(
        [arguments.program, "bench", "-m", arguments.model, "-p", "0", "-n", str(arguments.tokens),
         "-t", str(arguments.threads), "-r", "1", "--json"],
        capture_output=True, text=True, check=True)
    rows = json.loads(done.stdout)["rows"]
    return next(row for row in rows if row["test"].startswith("tg"))["tokens_per_second"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("model")
    parser.add_argument("--clients", default="1,16")
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("-t", "--threads", type=int, default=2)
    arguments = parser.parse_args()
    counts = [int(n) for n in arguments.clients.split(",")]
    server, port = start(arguments.program, arguments.model, arguments.threads, max(counts))
    try:
        one_round(port, max(counts), 8)
        bench = []
        rounds = {n: [] for n in counts}
        for _ in range(arguments.rounds):  # in turns, so that all see the same machine
            bench.append(bench_speed(arguments))
            for n in counts:
                rounds[n].append(one_round(port, n, arguments.tokens))
        tg = statistics.median(bench)
        print(f"quarot bench tg{arguments.tokens}: {tg:.1f} tokens/s")
        one = statistics.median(r[0] for r in rounds[counts[0]])
        for n in counts:
            speed = statistics.median(r[0] for r in rounds[n])
            wait = statistics.median(r[1] for r in rounds[n])
            share = statistics.median(r[0] / b for r, b in zip(rounds[n], bench))
            print(f"{n} clients: {speed:.1f} tokens/s, {share:.3f} of bench, "
                  f"{speed / one:.2f} of {counts[0]}, first token after {wait * 1000:.0f} ms")
    finally:
        server.send_signal(signal.SIGTERM)
        server.communicate()


if __name__ == "__main__":
    main()
