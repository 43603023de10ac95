#!/usr/bin/env python3
"""Runs quarot bench and llama-bench in turns over the same shape and prints one table: medians of tokens a second and
their ratio.

    race_llama_cpp.py LLAMA_BENCH GGUF SHAPE [--threads N] [--rounds N] [--recipe NAME] [--cache TYPE] [--quarot FILE] TEST...

A TEST is ppN or tgN, with a depth of the context behind @: pp512 tg128 tg64@2048. GGUF has the same SHAPE in llama.cpp's
type, --cache its type of cache (f16, or q4_0 beside our 4 bits); its flash attention is on. A ratio is the median over
rounds of a round's own, so that what else the machine does meets both.
"""
import argparse
import json
import re
import statistics
import subprocess
import sys
from pathlib import Path

QUAROT = Path(__file__).resolve().parent.parent / "build/release/apps/quarot"


def read_test(text):
    found = re.fullmatch(r"(pp|tg)(\d+)(?:@(\d+))?", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text} is no test, expected one such as pp512 or tg64@2048")
    kind, count, depth = found.groups()
    return {"name": text, "pp": int(count) if kind == "pp" else 0, "tg": int(count) if kind == "tg" else 0,
            "depth": int(depth or 0)}


def run(command):
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"{command[0]} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout)


def tokens_of(test):
    return ["-p", test["pp"], "-n", test["tg"], "-d", test["depth"], "-r", 1]


def speed_of_quarot(args, test):
    rows = run([args.quarot, "bench", "--device", "cpu", "--shape", args.shape, "--recipe", args.recipe, "-t", args.threads,
                "--progress", "none", "--json", *tokens_of(test)])["rows"]
    return rows[0]["tokens_per_second"]


def speed_of_peer(args, test):
    rows = run([args.llama_bench, "-m", args.gguf, "-t", args.threads, "-fa", 1, "-ctk", args.cache, "-ctv", args.cache,
                "-o", "json", *tokens_of(test)])
    return rows[0]["avg_ts"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("llama_bench")
    parser.add_argument("gguf")
    parser.add_argument("shape")
    parser.add_argument("tests", nargs="+", type=read_test)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--recipe", default="w4a8kv4")
    parser.add_argument("--cache", default="f16")
    parser.add_argument("--quarot", default=QUAROT)
    args = parser.parse_args()
    print(f"{args.shape}, {args.recipe}, {args.threads} threads; llama.cpp: {Path(args.gguf).name}, {args.cache} cache; "
          f"medians of {args.rounds}, in turns")
    print("| test | quarot tok/s | llama.cpp tok/s | ratio | ratios |\n|---|---:|---:|---:|---|")
    for test in args.tests:
        pairs = [(speed_of_quarot(args, test), speed_of_peer(args, test)) for _ in range(args.rounds)]
        ours, theirs = (statistics.median(column) for column in zip(*pairs))
        ratios = [a / b for a, b in pairs]
        print(f"| {test['name']} | {ours:.1f} | {theirs:.1f} | {statistics.median(ratios):.2f} | "
              f"{min(ratios):.2f}-{max(ratios):.2f} |", flush=True)


main()
