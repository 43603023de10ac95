#!/usr/bin/env python3
"""Times GPTQ of a Llama shape with random weights: 128 windows of 2048 tokens by default.

Two folders are made and quantized, one with one layer and one with three (--layers); what the second
takes longer are its other layers, and the whole model takes that many times its layers and what the
first takes besides its own. Only the standard library is used.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile

# hidden, ffn, heads, KV heads, layers
SHAPES = {
    "llama-2-7b": (4096, 11008, 32, 32, 32),
    "llama-2-13b": (5120, 13824, 40, 40, 40),
    "llama-2-70b": (8192, 28672, 64, 8, 80),
    "tiny": (256, 768, 4, 2, 8),
}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("quarot", metavar="PROGRAM", help="such as build/release/apps/quarot")
    parser.add_argument("--shape", choices=SHAPES, default="llama-2-7b")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--recipe", default="quarot")
    parser.add_argument("--nsamples", type=int, default=128)
    parser.add_argument("--seqlen", type=int, default=2048)
    parser.add_argument("--layers", type=int, default=3, help="of the larger of two models [3]")
    parser.add_argument("--folder", help="where the models are made [a temporary folder]")
    options = parser.parse_args()
    if options.layers < 2:
        parser.error("--layers takes 2 or more")
    return options


def make_model(options, n_layers, folder):
    hidden, ffn, heads, kv_heads, _ = SHAPES[options.shape]
    tool = os.path.join(os.path.dirname(os.path.abspath(__file__)), "make_random_llama.py")
    sizes = {"hidden": hidden, "ffn": ffn, "heads": heads, "kv-heads": kv_heads,
             "layers": n_layers, "seed": n_layers}
    flags = [word for name, size in sizes.items() for word in (f"--{name}", str(size))]
    subprocess.run([sys.executable, tool, folder, *flags], check=True)


def make_text(path, n_bytes):
    """Letters in random order: the models' tokenizer gives each byte a token."""
    engine = random.Random(0)
    with open(path, "x", encoding="ascii") as file:
        file.write("".join(engine.choices("abcdefghijklmnopqrstuvwxyz ", k=n_bytes)))


def quantize(options, model, out, text):
    command = [options.quarot, "quantize", model, out, "--recipe", options.recipe, "--calib", text,
               "--nsamples", str(options.nsamples), "--seqlen", str(options.seqlen),
               "--device", options.device, "--json"]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def run(options, folder):
    text = os.path.join(folder, "text")
    make_text(text, options.nsamples * options.seqlen + 4 * options.seqlen)
    seconds = []
    for n_layers in (1, options.layers):
        model = os.path.join(folder, f"{n_layers}-layers")
        make_model(options, n_layers, model)
        report = quantize(options, model, model + "-quantized", text)
        seconds.append(report["seconds"])
        print(f"{n_layers} layers: {report['seconds']:.1f} s, peak of the host's memory "
              f"{report['peak_rss_bytes'] / 1e9:.1f} GB", flush=True)
    layer = (seconds[1] - seconds[0]) / (options.layers - 1)
    n_layers = SHAPES[options.shape][4]
    whole = seconds[0] + (n_layers - 1) * layer
    print(f"{options.shape}, {options.nsamples} x {options.seqlen} tokens, {options.recipe} on "
          f"{options.device}: {layer:.1f} s a layer, {whole / 60:.1f} min for {n_layers} layers")


def main():
    options = arguments()
    if options.folder:
        os.makedirs(options.folder)
        run(options, options.folder)
        return
    with tempfile.TemporaryDirectory() as folder:
        run(options, folder)


if __name__ == "__main__":
    main()
