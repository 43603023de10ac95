#!/usr/bin/env python3
"""A server under clients that do everything wrong: who is lost, whose text changes, what leaks?

soak.py PROGRAM MODEL [--requests 100000] [--clients 32] [--seed 1]

Starts `quarot serve MODEL` with a cache that is too small for all, and lets clients ask, stream, leave
while they wait or read, read slowly and send damaged bytes. Good requests must have the text that the
same request had alone. At the end nothing may run, all pages must be free, and resident memory may
not have grown by more than 2 % since a tenth of the requests. Needs no packages.
"""
import argparse
import asyncio
import json
import random
import re
import signal
import subprocess
import sys
import time

WORDS = "once upon a time there was little girl who liked the big red ball and ran to park".split()


class Server:
    def __init__(self, program, model):
        self.process = subprocess.Popen(
            [program, "serve", model, "--port", "0", "--max-batch", "8", "--max-queue", "100000",
             "--kv-mem", "400K", "--access-log", "off"], stderr=subprocess.PIPE, text=True)
        self.said = ""
        for line in self.process.stderr:
            self.said += line
            found = re.search(r"http://127.0.0.1:(\d+)", line)
            if found:
                self.port = int(found[1])
                return
        sys.exit("the server did not start: " + self.said)

    def resident_bytes(self):
        with open(f"/proc/{self.process.pid}/statm") as file:
            return int(file.read().split()[1]) * 4096

    def open_files(self):
        import os
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        self.said += self.process.communicate(timeout=60)[1]
        return self.process.returncode


def post(path, body):
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return (f"POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            f"Content-Length: {len(text)}\r\n\r\n").encode() + text


def completion(dice, stream):
    return {"prompt": " ".join(dice.choices(WORDS, k=dice.randint(1, 60))),
            "max_tokens": dice.choice([1, 2, 5, 20, 60]), "temperature": dice.choice([0, 1]),
            "seed": dice.randint(0, 3), "stream": stream}


def damaged(dice, data):
    data = bytearray(data)
    for _ in range(dice.randint(1, 6)):
        at = dice.randrange(len(data)) if data else 0
        kind = dice.randrange(5)
        if kind == 0 and data:
            data[at] = dice.randrange(256)
        elif kind == 1:
            del data[at:at + dice.randint(1, 20)]
        elif kind == 2:
            data[at:at] = data[at:at + dice.randint(1, 40)]
        elif kind == 3:
            data[at:at] = dice.choice([b"\r\n", b"\r\n\r\n", b"\0", b"[[[[[[[[", b"\"", b"1e999", b"-1",
                                       b"\xff\xfe", b"Content-Length: 3\r\n", b"{}", b"null"])
        else:
            del data[at:]
    return bytes(data)


def text_of(answer, stream):
    """The text of a whole answer; None if it is not one."""
    head, _, body = answer.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        return None
    if not stream:
        return json.loads(body)["choices"][0]["text"]
    # Chunks: sizes between CR LF.
    data = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        n = int(size, 16)
        data, body = data + body[:n], body[n + 2:]
        if n == 0:
            break
    events = data.decode().split("\n\n")
    if events[-2:] != ["data: [DONE]", ""]:
        return None
    return "".join(json.loads(event[6:])["choices"][0]["text"] for event in events[:-2]
                   if event.startswith("data: "))


class Soak:
    def __init__(self, server, arguments):
        self.server = server
        self.dice = random.Random(arguments.seed)
        self.n = arguments.requests
        self.n_clients = arguments.clients
        # Few enough to know each one's text.
        dice = random.Random(arguments.seed + 1)
        self.known = [completion(dice, False) for _ in range(60)]
        self.expected = []
        self.counts = {}
        self.problems = []
        self.statuses = {}
        self.warm = None

    async def exchange(self, data, timeout=120):
        reader, writer = await asyncio.open_connection("127.0.0.1", self.server.port)
        try:
            writer.write(data)
            await writer.drain()
            return await asyncio.wait_for(reader.read(-1), timeout)
        finally:
            writer.close()

    async def get(self, path):
        answer = await self.exchange(
            f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        return answer.partition(b"\r\n\r\n")[2].decode()

    async def good(self):
        which = self.dice.randrange(len(self.known))
        stream = self.dice.random() < 0.5
        answer = await self.exchange(post("/v1/completions", {**self.known[which], "stream": stream}))
        text = text_of(answer, stream)
        if text is None:
            self.problems.append(f"lost: {self.known[which]}: {answer[:300]}")
        elif text != self.expected[which]:
            self.problems.append(f"changed: {self.known[which]}: {text!r}, not {self.expected[which]!r}")

    async def leaves(self):
        reader, writer = await asyncio.open_connection("127.0.0.1", self.server.port)
        data = post("/v1/completions", {**completion(self.dice, True), "max_tokens": 60})
        writer.write(data[:self.dice.choice([10, 150, len(data), len(data)])])
        await writer.drain()
        if self.dice.random() < 0.5:
            try:
                await asyncio.wait_for(reader.read(self.dice.randint(1, 2000)), 0.05)
            except asyncio.TimeoutError:
                pass
        writer.transport.abort()

    async def reads_slowly(self):
        reader, writer = await asyncio.open_connection("127.0.0.1", self.server.port, limit=64)
        writer.write(post("/v1/completions", completion(self.dice, True)))
        answer = b""
        while piece := await reader.read(200):
            answer += piece
            await asyncio.sleep(0.002)
        writer.close()
        if not answer.startswith(b"HTTP/1.1 200") or b"data: [DONE]" not in answer:
            self.problems.append(f"slow reader lost: {answer[-300:]}")

    async def sends_damage(self):
        path = self.dice.choice(["/v1/completions", "/v1/chat/completions", "/tokenize", "/detokenize"])
        body = json.dumps(completion(self.dice, False)).encode()
        data = post(path, damaged(self.dice, body)) if self.dice.random() < 0.6 else \
            damaged(self.dice, post(path, body))
        reader, writer = await asyncio.open_connection("127.0.0.1", self.server.port)
        writer.write(data)
        try:
            answer = await asyncio.wait_for(reader.read(12), 0.3)
        except (asyncio.TimeoutError, ConnectionError):
            answer = b""  # it waits for more
        writer.transport.abort()
        status = answer[9:12].decode()
        self.statuses[status] = self.statuses.get(status, 0) + 1
        if status.startswith("5") and status not in ("505", "503"):
            self.problems.append(f"status {status} for {data!r}")

    async def client(self):
        kinds = [(self.good, 0.7), (self.leaves, 0.12), (self.sends_damage, 0.15),
                 (self.reads_slowly, 0.03)]
        while self.n > 0 and len(self.problems) < 20:
            self.n -= 1
            kind = self.dice.choices([k for k, _ in kinds], [w for _, w in kinds])[0]
            self.counts[kind.__name__] = self.counts.get(kind.__name__, 0) + 1
            try:
                await kind()
            except (ConnectionError, asyncio.TimeoutError, ValueError, OSError) as error:
                self.problems.append(f"{kind.__name__}: {error!r}")

    async def watch(self, total):
        while self.n > 0:
            if self.warm is None and self.n < total * 0.9:
                self.warm = self.server.resident_bytes(), self.server.open_files()
            await asyncio.sleep(0.05)

    async def run(self):
        for request in self.known:
            self.expected.append(text_of(await self.exchange(post("/v1/completions", request)), False))
        since, total = time.time(), self.n
        await asyncio.gather(self.watch(total), *[self.client() for _ in range(self.n_clients)])
        for _ in range(200):
            figures = await self.get("/metrics")
            value = {name: float(re.search(rf"^quarot:{name} (\S+)$", figures, re.M)[1])
                     for name in ("num_requests_running", "num_requests_waiting",
                                  "kv_cache_usage_perc", "num_preemptions_total",
                                  "request_cancelled_total")}
            if value["num_requests_running"] + value["num_requests_waiting"] == 0:
                break
            await asyncio.sleep(0.05)
        for name in ("num_requests_running", "num_requests_waiting", "kv_cache_usage_perc"):
            if value[name] != 0:
                self.problems.append(f"{name} is {value[name]} at the end")
        warm, end = self.warm[0], self.server.resident_bytes()
        print(f"{total} requests in {time.time() - since:.0f} s: {self.counts}, damage answered "
              f"{self.statuses}, {value['num_preemptions_total']:.0f} put back, "
              f"{value['request_cancelled_total']:.0f} cancelled, resident {warm / 1e6:.1f} MB "
              f"then {end / 1e6:.1f} MB, files {self.warm[1]} then {self.server.open_files()}")
        if end > warm * 1.02:
            self.problems.append(f"resident memory grew from {warm} to {end}")
        if value["num_preemptions_total"] == 0:
            self.problems.append("the cache was never full")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("model")
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    server = Server(arguments.program, arguments.model)
    soak = Soak(server, arguments)
    try:
        asyncio.run(soak.run())
    finally:
        code = server.end()
    if code != 0:
        soak.problems.append(f"the server ended with {code}: {server.said[-2000:]}")
    for problem in soak.problems[:20]:
        print("FAILED:", problem)
    sys.exit(1 if soak.problems else 0)


main()
