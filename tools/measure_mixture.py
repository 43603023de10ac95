#!/usr/bin/env python3
"""Peak memory of quantizing a mixture of experts: python tools/measure_mixture.py QUAROT FOLDER [flags of quantize]

Writes a random Mixtral into FOLDER (bf16, with the tokenizer of models/tiny-novels; 2 bytes a parameter), quantizes
it into FOLDER-out, prints one line and removes both.

    python tools/measure_mixture.py build/release/apps/quarot /tmp/moe --recipe quarot-rtn
    python tools/measure_mixture.py build/release/apps/quarot /tmp/moe --experts 16 --layers 1 --recipe quarot \
        --calib models/tiny-novels/calib.txt --nsamples 8 --seqlen 512
"""
import argparse
import json
import pathlib
import random
import shutil
import struct
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent
VOCAB = 4096  # the tokenizer's
PIECE = 1 << 20


def shapes(hidden, ffn, experts, layers):
    yield "model.embed_tokens.weight", (VOCAB, hidden)
    for layer in range(layers):
        at = f"model.layers.{layer}."
        for norm in ("input_layernorm", "post_attention_layernorm"):
            yield f"{at}{norm}.weight", (hidden,)
        for linear, rows in (("q", hidden), ("k", hidden // 4), ("v", hidden // 4), ("o", hidden)):
            yield f"{at}self_attn.{linear}_proj.weight", (rows, hidden)
        yield f"{at}block_sparse_moe.gate.weight", (experts, hidden)
        for expert in range(experts):
            for linear, shape in (("w1", (ffn, hidden)), ("w2", (hidden, ffn)), ("w3", (ffn, hidden))):
                yield f"{at}block_sparse_moe.experts.{expert}.{linear}.weight", shape
    yield "model.norm.weight", (hidden,)
    yield "lm_head.weight", (VOCAB, hidden)


def random_piece():
    """bf16 of random sign and fraction and the exponent of 2^-6, as bytes."""
    generator = random.Random(5)
    values = bytearray()
    for _ in range(PIECE // 2):
        bits = generator.getrandbits(8)
        values += bytes((bits & 0x7f | 0x80, 0x3c | bits & 0x80))
    return bytes(values)


def write_model(folder, args):
    tensors = list(shapes(args.hidden, args.ffn, args.experts, args.layers))
    header, offset, parameters = {}, 0, 0
    for name, shape in tensors:
        n = shape[0] * (shape[1] if len(shape) == 2 else 1)
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [offset, offset + 2 * n]}
        offset, parameters = offset + 2 * n, parameters + n
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    piece = random_piece()
    with open(folder / "model.safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for number, (name, _) in enumerate(tensors):
            begin, end = header[name]["data_offsets"]
            shift = 2 * (number * 4099 % (PIECE // 4))  # no two experts alike
            while begin < end:
                part = piece[shift:shift + min(end - begin, PIECE - shift)]
                file.write(part)
                begin, shift = begin + len(part), 0
    config = dict(architectures=["MixtralForCausalLM"], hidden_size=args.hidden, intermediate_size=args.ffn,
                  num_hidden_layers=args.layers, num_attention_heads=16, num_key_value_heads=4,
                  vocab_size=VOCAB, max_position_embeddings=1024, rms_norm_eps=1e-5, rope_theta=10000.0,
                  num_local_experts=args.experts, num_experts_per_tok=2, hidden_act="silu",
                  tie_word_embeddings=False, bos_token_id=1, eos_token_id=2)
    (folder / "config.json").write_text(json.dumps(config))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(ROOT / "models" / "tiny-novels" / name, folder)
    return parameters


def run(command):
    return json.loads(subprocess.run([str(word) for word in command], check=True, stdout=subprocess.PIPE).stdout)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("quarot")
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--hidden", type=int, default=2048)
    parser.add_argument("--ffn", type=int, default=5632)
    parser.add_argument("--experts", type=int, default=8)
    parser.add_argument("--layers", type=int, default=7)
    args, flags = parser.parse_known_args()
    out = args.folder.with_name(args.folder.name + "-out")
    args.folder.mkdir()
    try:
        parameters = write_model(args.folder, args)
        planned = run([args.quarot, "plan", args.folder, "--json", *flags])["ram_bytes"]
        report = run([args.quarot, "quantize", args.folder, out, "--json", *flags])
        print(f"{args.experts} experts, {args.layers} layers, {parameters / 1e9:.2f} B parameters: "
              f"{report['seconds']:.0f} s, peak {report['peak_rss_bytes'] / 2**20:.0f} MiB, planned "
              f"{planned / 2**20:.0f} MiB")
    finally:
        for folder in (args.folder, out, out.with_name(out.name + ".work")):
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
