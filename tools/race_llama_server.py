#!/usr/bin/env python3
"""`quarot serve` beside llama-server under the same load, in turns.

    race_llama_server.py PROGRAM FOLDER LLAMA_SERVER GGUF [--clients 16] [--requests 64] [--tokens 64] [--words 200] [--rounds 3]
                         [-t 2]

FOLDER and GGUF hold models of one shape. A client sends its next request as soon as it has the whole answer of the last;
each streams one greedy completion of so many tokens behind a prompt of so many words, none like another. Prints medians
over rounds: requests a second, and the median and the 95th percentile of times to the first token. Needs no packages.
"""
import argparse
import selectors
import signal
import socket
import statistics
import subprocess
import sys
import time

from bench_server import Stream, start

CONTEXT = 1024


def start_llama(program, model, threads, clients):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [program, "-m", model, "--port", str(port), "-t", str(threads), "-np", str(clients), "-c", str(CONTEXT * clients), "-fa",
         "on", "--no-webui"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(600):
        try:
            with socket.create_connection(("127.0.0.1", port)) as client:
                client.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                if b" 200 " in client.recv(64):
                    return server, port
        except OSError:
            pass
        time.sleep(0.1)
    sys.exit("llama-server did not start")


def one_round(port, args, seed):
    """Requests a second, and the times to the first token."""
    def ask(number):
        words = "".join(f" {(seed + number * 7919 + i * 104729) % 9973}" if i % 8 == 0 else " wave" for i in range(args.words))
        stream = Stream(port, number, args.tokens, words)
        selector.register(stream.socket, selectors.EVENT_READ, stream)

    waits, sent = [], min(args.clients, args.requests)
    begin = time.perf_counter()
    with selectors.DefaultSelector() as selector:
        for number in range(sent):
            ask(number)
        while selector.get_map():
            for key, _ in selector.select():
                stream = key.data
                if stream.read():
                    continue
                selector.unregister(key.fileobj)
                key.fileobj.close()
                if stream.n_tokens() != args.tokens:
                    sys.exit(f"an answer has {stream.n_tokens()} tokens, expected {args.tokens}")
                waits.append(stream.first - stream.since)
                if sent < args.requests:
                    ask(sent)
                    sent += 1
    return args.requests / (time.perf_counter() - begin), sorted(waits)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("program", "folder", "llama_server", "gguf"):
        parser.add_argument(name)
    for name, value in (("clients", 16), ("requests", 64), ("tokens", 64), ("words", 200), ("rounds", 3)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("-t", "--threads", type=int, default=2)
    args = parser.parse_args()
    servers = {"quarot": start(args.program, args.folder, args.threads, args.clients),
               "llama-server": start_llama(args.llama_server, args.gguf, args.threads, args.clients)}
    try:
        rounds = {name: [] for name in servers}
        for turn in range(args.rounds + 1):  # the first warms up
            for name, (_, port) in servers.items():
                found = one_round(port, args, 1000 * turn)
                if turn > 0:
                    rounds[name].append(found)
        for name, found in rounds.items():
            middle, late = (statistics.median(waits[int(share * (len(waits) - 1))] for _, waits in found) for share in (0.5, 0.95))
            print(f"{name}: {statistics.median(speed for speed, _ in found):.2f} requests/s, first token after {1000 * middle:.0f} ms, "
                  f"95 % within {1000 * late:.0f} ms")
        ratios = [ours[0] / theirs[0] for ours, theirs in zip(*rounds.values())]
        print(f"requests/s: {statistics.median(ratios):.2f} times")
    finally:
        for server, _ in servers.values():
            server.send_signal(signal.SIGTERM)
            server.communicate()


if __name__ == "__main__":
    main()
