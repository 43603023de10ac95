#!/usr/bin/env python3
"""Perplexity and divergence of llama.cpp's llama-perplexity beside ours, in one table each; ends with 1 if they differ.

    compare_llama_perplexity.py LLAMA_PERPLEXITY FULL.gguf OTHER.gguf FOLDER TEXT [--seqlen 512] [--chunks 8]

FULL.gguf (F32) and FOLDER hold the same weights, OTHER.gguf is the same model quantized. Three things are compared:
  1. the perplexity of FULL.gguf and that of `quarot perplexity FOLDER --protocol llamacpp`: within 0.2 %;
  2. what `llama-perplexity --kl-divergence` prints of OTHER against FULL, and our statistics on the two files of
     `--kl-divergence-base` (tests/divergence_oracle): within 1 %, or 0.001 nats or 0.01 percent points;
  3. what it prints of FULL against OTHER, and `quarot perplexity FOLDER --kl-base` on OTHER's file: the same.
Needs numpy (make oracles: build/oracles/bin/python).
"""
import argparse
import json
import re
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

BUILD = Path(__file__).resolve().parent.parent / "build/release"
# Differences that say nothing: llama.cpp stores 16 nats below the likeliest token and leaves out tokens below e^-16 of the
# base, so that its divergence of a position lacks some 0.001; it prints percent with three digits.
LEAST = {"nats": 1e-3, "percent": 0.01}
QUANTILES = {"Maximum": "maximum", "99.9%": "p99.9", "99.0%": "p99", "95.0%": "p95", "90.0%": "p90", "75.0%": "p75",
             "Median": "median", "25.0%": "p25", "10.0%": "p10", "5.0%": "p5", "1.0%": "p1", "0.1%": "p0.1",
             "Minimum": "minimum"}
MEANS = {"Mean PPL(Q)": "perplexity", "Mean PPL(base)": "base_perplexity", "Mean PPL(Q)/PPL(base)": "perplexity_ratio",
         "Mean ln(PPL(Q)/PPL(base))": "ln_perplexity_ratio", "Mean PPL(Q)-PPL(base)": "perplexity_difference",
         "Mean KLD": "kl", "Mean Δp": "delta_p", "RMS Δp": "rms_delta_p", "Same top p": "same_top1"}


def run(*command):
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"{command[0]} ended with {done.returncode}:\n{(done.stderr + done.stdout)[-2000:]}")
    return done


class Llama:
    def __init__(self, args):
        # One window at a time; a cache in fp32, as ours is.
        self.program = [args.llama_perplexity, "-c", args.seqlen, "-b", args.seqlen, "-t", args.threads, "-ctk", "f32",
                        "-ctv", "f32"]
        self.text = ["-f", args.text, "--chunks", args.chunks]

    def save(self, model, file):
        """Its perplexity and error; writes the log-probabilities."""
        done = run(*self.program, "-m", model, *self.text, "--kl-divergence-base", file)
        found = re.search(r"Final estimate: PPL = ([\d.]+) \+/- ([\d.]+)", done.stdout + done.stderr)
        return float(found.group(1)), float(found.group(2))

    def compare(self, model, file):
        """Name -> (value, error or None), as printed."""
        printed = run(*self.program, "-m", model, "--kl-divergence", "--kl-divergence-base", file).stdout
        line = re.compile(r"^ *(\S.*?) *: +(-?[\d.]+)(?: ± +([\d.]+))? *%? *$", re.M)
        return {re.sub(r" +", " ", name): (float(value), float(error) if error else None)
                for name, value, error in line.findall(printed)}


def rows_of(path, is_base):
    """Of a file of --kl-divergence-base: the tokens that are scored, the vocabulary, and one by one the log-probabilities
    [vocabulary]. Of a base, the token that follows has the least that is stored, as llama-perplexity takes it."""
    file = open(path, "rb")
    if file.read(8) != b"_logits_":
        sys.exit(f"{path} is no file of --kl-divergence-base")
    seqlen, vocab, windows = struct.unpack("<3i", file.read(12))
    tokens = np.frombuffer(file.read(4 * seqlen * windows), "<i4").reshape(windows, seqlen)
    targets = np.ascontiguousarray(tokens[:, seqlen // 2 + 1:]).reshape(-1)

    def rows():
        for target in targets:
            scale, least = struct.unpack("<2f", file.read(8))
            codes = np.frombuffer(file.read(2 * (vocab + vocab % 2)), "<u2")[:vocab]
            logits = np.float64(scale) * codes + least
            # Code 0 says "at most this": such tokens share what the others leave of a probability of 1.
            below = codes == 0
            left = 1.0 - np.exp(logits[~below]).sum()
            if below.any():
                logits[below] = min(np.log(left / below.sum()), least) if left > 0 else least
            if is_base and below[target]:
                logits[target] = least
            yield logits.astype("<f4")
    return targets, vocab, rows()


def header_of(path):
    with open(path, "rb") as file:
        return json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))


def write_exact(path, llama_file, metadata, is_base):
    """The stored base of form exact with llama.cpp's logits, for the run that metadata is of."""
    targets, vocab, rows = rows_of(llama_file, is_base)
    size = 4 * vocab * targets.size
    header = json.dumps({
        "__metadata__": dict(metadata, form="exact", model=Path(llama_file).name, recipe="llama.cpp"),
        "logits": {"dtype": "F32", "shape": [targets.size, vocab], "data_offsets": [0, size]},
        "targets": {"dtype": "I32", "shape": [targets.size], "data_offsets": [size, size + targets.nbytes]}}).encode()
    header += b" " * (-len(header) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        for row in rows:
            file.write(row.tobytes())
        file.write(targets.tobytes())


class Table:
    def __init__(self):
        self.bad = []

    def begin(self, title):
        print(f"\n{title}\n| | llama.cpp | quarot | difference |\n|:---|---:|---:|---:|")

    def row(self, name, theirs, ours, limit, least=0.0):
        difference = abs(ours - theirs)
        holds = difference <= max(limit * abs(theirs), least)
        share = f"{100 * (ours - theirs) / theirs:+.3f} %" if theirs else f"{ours - theirs:+.2g}"
        print(f"| {name} | {theirs:.6g} | {ours:.6g} | {share}{'' if holds else ' TOO FAR'} |", flush=True)
        if not holds:
            self.bad.append(name)

    def divergence(self, theirs, ours):
        for name, key in MEANS.items():
            value, error = theirs[name]
            unit = "percent" if "p" in name.split()[-1] and "PPL" not in name else "nats"
            scale = 100.0 if unit == "percent" else 1.0
            self.row(name, value, scale * ours[key], 0.01, LEAST[unit])
            self.row(name + " +-", error, scale * ours[f"{key}_stderr"], 0.01, LEAST[unit])
        self.row("Cor(ln(PPL(Q)), ln(PPL(base)))", theirs["Cor(ln(PPL(Q)), ln(PPL(base)))"][0],
                 100 * ours["ln_perplexity_correlation"], 0.01)
        for what, key, unit, scale in (("KLD", "kl_spread", "nats", 1.0), ("Δp", "delta_p_spread", "percent", 100.0)):
            for label, quantile in QUANTILES.items():
                if f"{label} {what}" in theirs:
                    self.row(f"{label} {what}", theirs[f"{label} {what}"][0], scale * ours[key][quantile], 0.01,
                             LEAST[unit])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("llama_perplexity", "full", "other", "folder", "text"):
        parser.add_argument(name)
    parser.add_argument("--seqlen", type=int, default=512)
    parser.add_argument("--chunks", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--quarot", default=BUILD / "apps/quarot")
    parser.add_argument("--driver", default=BUILD / "tests/divergence_oracle/divergence_driver")
    args = parser.parse_args()
    llama, table = Llama(args), Table()
    quarot = [args.quarot, "perplexity", args.folder, "--text", args.text, "--protocol", "llamacpp", "--seqlen",
              args.seqlen, "--windows", args.chunks, "-t", args.threads, "--json"]
    with tempfile.TemporaryDirectory() as folder:
        full, other, own = (Path(folder) / name for name in ("full", "other", "own"))
        value, error = llama.save(args.full, full)
        llama.save(args.other, other)
        ours = json.loads(run(*quarot, "--save-kl-base", own).stdout)
        table.begin("1. Perplexity of the same weights")
        table.row("PPL", value, ours["perplexity"], 0.002)
        table.row("PPL +-", error, ours["standard_error"], 0.002)
        metadata = header_of(own)["__metadata__"]
        write_exact(f"{full}.base", full, metadata, is_base=True)
        write_exact(f"{other}.model", other, metadata, is_base=False)
        table.begin("2. OTHER against FULL: our statistics on the logits of both files")
        table.divergence(llama.compare(args.other, full),
                         json.loads(run(args.driver, f"{full}.base", f"{other}.model").stdout))
        write_exact(f"{other}.base", other, metadata, is_base=True)
        table.begin("3. FULL against OTHER: our run on the base's file")
        table.divergence(llama.compare(args.full, other),
                         json.loads(run(*quarot, "--kl-base", f"{other}.base").stdout)["divergence"])
    if table.bad:
        sys.exit(f"too far apart: {', '.join(table.bad)}")
    print("\nall within their limits")


if __name__ == "__main__":
    main()
