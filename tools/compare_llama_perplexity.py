#!/usr/bin/env python3
"""Perplexity and divergence of llama.cpp's llama-perplexity beside ours, in one table each; ends with 1 if they differ.

    compare_llama_perplexity.py LLAMA_DIR FULL.gguf OTHER.gguf FOLDER TEXT [--seqlen 512] [--chunks 8]

LLAMA_DIR is the folder of programs that ../shared/peers/build_llama_cpp.sh names at its end. FULL.gguf (F32) and FOLDER hold
the same weights: a folder that was not rounded to 16 bits, or FULL.gguf itself, which quarot reads. OTHER.gguf is the same
model quantized. Three things are compared:
  1. the perplexity of FULL.gguf and that of `quarot perplexity FOLDER --protocol llamacpp`: within 0.2 %;
  2. what `llama-perplexity --kl-divergence` prints of OTHER against FULL, and our statistics on the same logits: FULL's
     as its file of --kl-divergence-base has them, OTHER's as llama.cpp gives them in F32 (tests/divergence_oracle);
  3. what it prints of FULL against OTHER, and `quarot perplexity FOLDER --kl-base` with OTHER's file.
Of 2 and 3 every number that is printed is held within 1 %, or to what its digits can tell where these are few.
"""
import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build/release"
# Differences that say nothing. Of the same logits: it prints six digits of nats and three of percent. Of logits that two
# programs compute, each in F32, a little more.
LEAST = {"same logits": {"nats": 5e-7, "percent": 0.001}, "own logits": {"nats": 1e-5, "percent": 0.01}}
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


def build_llama_logits(llama_dir, folder):
    """The program that writes llama.cpp's logits."""
    root = llama_dir.resolve().parent
    (source,) = root.glob("llama_cpp_python-*/vendor/llama.cpp")
    build, program = root / "build", Path(folder) / "llama_logits"
    libraries = [next(build.rglob(f"lib{name}.a")) for name in ("llama", "ggml", "ggml-cpu", "ggml-base")]
    run("g++", "-std=c++17", "-O2", "-I", source / "include", "-I", source / "ggml/include",
        ROOT / "tests/divergence_oracle/llama_logits.cpp", *libraries, "-fopenmp", "-pthread", "-ldl", "-o", program)
    return program


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

    def divergence(self, theirs, ours, least):
        for name, key in MEANS.items():
            value, error = theirs[name]
            unit = "percent" if "p" in name.split()[-1] and "PPL" not in name else "nats"
            scale = 100.0 if unit == "percent" else 1.0
            self.row(name, value, scale * ours[key], 0.01, least[unit])
            self.row(name + " +-", error, scale * ours[f"{key}_stderr"], 0.01, least[unit])
        self.row("Cor(ln(PPL(Q)), ln(PPL(base)))", theirs["Cor(ln(PPL(Q)), ln(PPL(base)))"][0],
                 100 * ours["ln_perplexity_correlation"], 0.01)
        for what, key, unit, scale in (("KLD", "kl_spread", "nats", 1.0), ("Δp", "delta_p_spread", "percent", 100.0)):
            for label, quantile in QUANTILES.items():
                if f"{label} {what}" in theirs:
                    self.row(f"{label} {what}", theirs[f"{label} {what}"][0], scale * ours[key][quantile], 0.01,
                             least[unit])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("llama_dir", type=Path)
    for name in ("full", "other", "folder", "text"):
        parser.add_argument(name)
    parser.add_argument("--seqlen", type=int, default=512)
    parser.add_argument("--chunks", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--quarot", default=BUILD / "apps/quarot")
    parser.add_argument("--driver", default=BUILD / "tests/divergence_oracle/divergence_driver")
    args = parser.parse_args()
    args.llama_perplexity = args.llama_dir / "llama-perplexity"
    llama, table = Llama(args), Table()
    quarot = [args.quarot, "perplexity", args.folder, "--text", args.text, "--protocol", "llamacpp", "--seqlen",
              args.seqlen, "--windows", args.chunks, "-t", args.threads, "--json"]
    with tempfile.TemporaryDirectory() as folder:
        full, other, logits = (Path(folder) / name for name in ("full", "other", "logits"))
        llama_logits = build_llama_logits(args.llama_dir, folder)
        value, error = llama.save(args.full, full)
        ours = json.loads(run(*quarot).stdout)
        table.begin("1. Perplexity of the same weights")
        table.row("PPL", value, ours["perplexity"], 0.002)
        table.row("PPL +-", error, ours["standard_error"], 0.002)
        run(llama_logits, args.other, full, args.threads, logits)
        table.begin("2. OTHER against FULL: our statistics on llama.cpp's logits")
        table.divergence(llama.compare(args.other, full), json.loads(run(args.driver, full, logits).stdout),
                         LEAST["same logits"])
        logits.unlink()
        llama.save(args.other, other)
        table.begin("3. FULL against OTHER: our run with OTHER's file")
        table.divergence(llama.compare(args.full, other),
                         json.loads(run(*quarot, "--kl-base", other).stdout)["divergence"], LEAST["own logits"])
    if table.bad:
        sys.exit(f"too far apart: {', '.join(table.bad)}")
    print("\nall within their limits")


if __name__ == "__main__":
    main()
