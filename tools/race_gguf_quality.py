#!/usr/bin/env python3
"""What a model loses, weighs and how fast it runs in llama.cpp's types and in our recipes, in one table.

    race_gguf_quality.py LLAMA_DIR FULL.gguf FULL_FOLDER TEXT TYPE... FOLDER... [--chunks 64] [--threads 2] [--rounds 3]

FULL.gguf and FULL_FOLDER hold the model in full precision. A TYPE (Q4_0, Q4_K_M) is made of the one by llama-quantize, a
FOLDER of the other by `quarot quantize`. Perplexity and divergence are llama-perplexity's: windows of 512, their second
halves, each program against its own full precision. Speed is the median of rounds in turns, flash attention on, llama.cpp's
cache as it comes (F16). Needs numpy (make oracles: build/oracles/bin/python).
"""
import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from compare_llama_perplexity import Llama, run

QUAROT = Path(__file__).resolve().parent.parent / "build/release/apps/quarot"
WINDOW = 512


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("llama_dir", type=Path)
    parser.add_argument("full")
    parser.add_argument("full_folder")
    parser.add_argument("text")
    parser.add_argument("models", nargs="+")
    parser.add_argument("--chunks", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    for model in args.models:
        if "/" in model and not Path(model).is_dir():
            parser.error(f"{model} is no folder")
    args.llama_perplexity, args.seqlen = args.llama_dir / "llama-perplexity", WINDOW
    return args


class Peer:
    """A type of llama.cpp."""

    def __init__(self, args, name, folder):
        self.args, self.name, self.file = args, name, Path(folder) / f"{name}.gguf"
        run(args.llama_dir / "llama-quantize", args.full, self.file, name, args.threads)

    def size(self):
        return self.file.stat().st_size

    def loss(self, base):
        found = Llama(self.args).compare(self.file, base)
        return found["Mean PPL(Q)"][0], found["Mean KLD"][0], found["Same top p"][0]

    def speed(self):
        rows = json.loads(run(self.args.llama_dir / "llama-bench", "-m", self.file, "-t", self.args.threads, "-fa", 1,
                              "-p", 512, "-n", 128, "-r", 1, "-o", "json").stdout)
        return [row["avg_ts"] for row in rows]


class Ours:
    """A folder that quarot quantized."""

    def __init__(self, args, folder):
        self.args, self.folder = args, Path(folder)
        self.name = json.loads(run(QUAROT, "inspect", folder, "--json").stdout)["recipe"]["recipe"]

    def size(self):
        return sum(file.stat().st_size for file in self.folder.iterdir())

    def loss(self, _):
        found = json.loads(run(QUAROT, "perplexity", self.folder, "--text", self.args.text, "--protocol", "llamacpp", "--seqlen",
                               WINDOW, "--windows", self.args.chunks, "--kl-base", self.args.full_folder, "-t", self.args.threads, "--device",
                               "cpu", "--progress", "none", "--json").stdout)
        return found["perplexity"], found["kl_mean"], 100 * found["same_top1"]

    def speed(self):
        rows = json.loads(run(QUAROT, "bench", "-m", self.folder, "--device", "cpu", "-t", self.args.threads, "-p", 512, "-n",
                              128, "-r", 1, "--progress", "none", "--json").stdout)["rows"]
        return [row["tokens_per_second"] for row in rows]


def main():
    args = arguments()
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder) / "base"
        perplexity, _ = Llama(args).save(args.full, base)
        models = [Ours(args, m) if Path(m).is_dir() else Peer(args, m, folder) for m in args.models]
        sizes = [model.size() / 1e6 for model in models]
        losses = [model.loss(base) for model in models]
        speeds = [[model.speed() for model in models] for _ in range(args.rounds)]
    print(f"{Path(args.full).name}, {Path(args.text).name}, {args.chunks} windows of {WINDOW}, {args.threads} threads; "
          f"full precision has perplexity {perplexity:.3f}")
    print("| | MB | perplexity | KL | same likeliest | pp512 | tg128 |\n|:---|---:|---:|---:|---:|---:|---:|")
    for i, model in enumerate(models):
        prompt, token = (statistics.median(turn[i][kind] for turn in speeds) for kind in (0, 1))
        ppl, kl, same = losses[i]
        print(f"| {model.name} | {sizes[i]:.1f} | {ppl:.3f} | {kl:.4f} | {same:.1f} % | {prompt:.0f} | {token:.1f} |")


if __name__ == "__main__":
    try:
        main()
    except (OSError, subprocess.SubprocessError, KeyError) as error:
        sys.exit(f"race_gguf_quality: {error!r}")
