#!/usr/bin/env python3
"""Integer products of this program beside Humming's on one GPU, in one run.

Humming (PyPI: humming-kernels) compiles its kernels when they are first used; it needs PyTorch and
nvcc or NVRTC. Both sides rotate through more than 300 MB of random weights, launches are replays of
CUDA graphs, times are medians. Humming's activations are quantized beforehand where they are
integers, as ours are.

    tools/race_humming.py --bench build/release/bench/bench_cuda_linear
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time

MATRICES = [(22016, 4096), (8192, 8192)]
TOKENS = [1, 16, 64, 2048]
KINDS = {"W4A16": "float16", "W4A8": "int8", "W4A4": "int4"}
ROTATED_BYTES = 320_000_000
LAUNCHES = 24


def our_times(program):
    """Microseconds of our W4A4 and W4A8 products and of cuBLAS in bf16, by (rows, columns, tokens)."""
    times = {}
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        command = [program, "--sections", "decode,w4a8,prefill", "--json", file.name]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        for line in open(file.name, encoding="utf-8"):
            row = json.loads(line)
            key = (row["rows"], row["cols"], row["tokens"])
            kind = "W4A8" if row["section"] == "w4a8" else "W4A4"
            times.setdefault(key, {})[kind] = row["us"]
            times[key]["bf16"] = row["bf16_us"]
    return times


def layers_of(rows, cols, dtype):
    """As many layers of random weights as leave the L2 cache."""
    import torch
    from humming.layer import HummingLayer

    layers = []
    for _ in range(max(1, -(-ROTATED_BYTES // (rows * cols // 2)))):
        layer = HummingLayer(
            shape_n=rows,
            shape_k=cols,
            weight_config={"dtype": "int4"},
            input_config={"dtype": dtype},
            torch_dtype=torch.float16,
        ).cuda()
        layer.load_from_unquantized(torch.randn(rows, cols, dtype=torch.float16, device="cuda"))
        layer.transform()
        layers.append(layer)
    return layers


def time_graph(call, n_calls):
    """Microseconds of one call of a recorded run of n_calls."""
    import torch

    for i in range(min(n_calls, 3)):
        call(i)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for i in range(n_calls):
            call(i)
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)

    def once():
        start.record()
        graph.replay()
        end.record()
        torch.cuda.synchronize()
        return 1000.0 * start.elapsed_time(end) / n_calls

    warm = time.monotonic() + 0.4
    while time.monotonic() < warm:
        once()
    return statistics.median(once() for _ in range(11))


def humming_time(layers, cols, tokens):
    import torch
    from humming.forward import may_quant_input

    values = torch.randn(tokens, cols, dtype=torch.float16, device="cuda")
    config = layers[0].humming_metas[""]
    codes, scales = may_quant_input(config, values)
    outs = {}

    def call(i):
        layer = layers[i % len(layers)]
        outs[0] = layer(values) if scales is None else layer(codes, input_scale=scales)

    return time_graph(call, LAUNCHES)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bench", required=True, help="our bench_cuda_linear")
    args = parser.parse_args()
    ours = our_times(args.bench)
    print(f"{'matrix':>12} {'tokens':>6} {'product':>7} {'Humming us':>10} {'ours us':>8} {'ratio':>6} {'bf16 us':>8}")
    for rows, cols in MATRICES:
        for kind, dtype in KINDS.items():
            layers = layers_of(rows, cols, dtype)
            for tokens in TOKENS:
                key = (rows, cols, tokens)
                try:
                    theirs = humming_time(layers, cols, tokens)
                except Exception as error:  # a form that it does not take
                    print(f"{rows:>6}x{cols:<5} {tokens:>6} {kind:>7} {type(error).__name__} {error}")
                    continue
                mine = ours[key].get(kind, ours[key]["W4A4"])
                print(f"{rows:>6}x{cols:<5} {tokens:>6} {kind:>7} {theirs:>10.1f} {mine:>8.1f} "
                      f"{theirs / mine:>5.2f}x {ours[key]['bf16']:>8.1f}", flush=True)
            del layers
    return 0


if __name__ == "__main__":
    sys.exit(main())
