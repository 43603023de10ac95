#!/usr/bin/env python3
"""Tokens a second through `quarot serve`, for some numbers of clients, beside `quarot bench`.

bench_server.py PROGRAM MODEL [--clients 1,16] [--tokens 128] [--rounds 3] [-t 2]

Each client streams one greedy completion of a short prompt; a round is all clients at once. Prints
medians over rounds: tokens a second from the first token of the first client to the last token of
the last one, and the median time to first token. One client beside `quarot bench` tg shows what the
server costs. Needs no packages.
"""
import argparse
import asyncio
import json
import re
import signal
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


async def stream(port, number, n_tokens):
    """Times of the first and the last token, and how many there were."""
    body = json.dumps({"prompt": f"Client {number} tells a long story about the sea and its ships",
                       "max_tokens": n_tokens, "temperature": 0, "ignore_eos": True, "stream": True,
                       "stream_options": {"include_usage": True}}).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    since = time.perf_counter()
    writer.write(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                 b"Content-Length: %d\r\n\r\n" % len(body) + body)
    first = last = None
    rest = b""
    while piece := await reader.read(65536):
        now = time.perf_counter()
        if b"data: {" in piece:
            first, last = first or now, now
        rest = (rest + piece)[-2000:]
    writer.close()
    n = int(re.search(rb'"completion_tokens":(\d+)', rest)[1])
    return since, first, last, n


async def one_round(port, n_clients, n_tokens):
    results = await asyncio.gather(*[stream(port, i, n_tokens) for i in range(n_clients)])
    first = min(result[1] for result in results)
    last = max(result[2] for result in results)
    made = sum(result[3] for result in results) - n_clients  # behind the first ones
    return made / (last - first), statistics.median(r[1] - r[0] for r in results)


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
    bench = json.loads(subprocess.run(
        [arguments.program, "bench", "-m", arguments.model, "-p", "0", "-n", str(arguments.tokens),
         "-t", str(arguments.threads), "-r", str(arguments.rounds), "--json"],
        capture_output=True, text=True, check=True).stdout)
    tg = next(row for row in bench["rows"] if row["test"].startswith("tg"))["tokens_per_second"]
    print(f"quarot bench tg{arguments.tokens}: {tg:.1f} tokens/s")
    server, port = start(arguments.program, arguments.model, arguments.threads, max(counts))
    try:
        asyncio.run(one_round(port, max(counts), 8))
        one = None
        for n in counts:
            rounds = [asyncio.run(one_round(port, n, arguments.tokens))
                      for _ in range(arguments.rounds)]
            speed = statistics.median(r[0] for r in rounds)
            wait = statistics.median(r[1] for r in rounds)
            one = one or speed
            print(f"{n} clients: {speed:.1f} tokens/s, {speed / tg:.3f} of bench, "
                  f"{speed / one:.2f} of {counts[0]}, first token after {wait * 1000:.0f} ms")
    finally:
        server.send_signal(signal.SIGTERM)
        server.communicate()


main()
