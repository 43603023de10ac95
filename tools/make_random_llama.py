#!/usr/bin/env python3
"""Writes a Llama-shaped model folder with random weights, for measurements of speed and memory.

Only the standard library is used, and memory stays small: one seeded block of bf16 or fp16 values
is repeated, shifted from tensor to tensor, so that a model of any size is written at disk speed.
The same options give the same bytes. The text such a model generates means nothing.
"""

import argparse
import json
import math
import os
import random
import struct
import sys

BLOCK_VALUES = (1 << 20) - 3  # odd, so that rows of a matrix differ
SHARD_BYTES = 4 << 30
WRITE_BYTES = 8 << 20


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", metavar="OUT", help="folder to create; must not exist")
    parser.add_argument("--hidden", type=int, default=2048)
    parser.add_argument("--ffn", type=int, default=5632)
    parser.add_argument("--layers", type=int, default=22)
    parser.add_argument("--heads", type=int, default=32)
    parser.add_argument("--kv-heads", type=int, default=4)
    parser.add_argument("--vocab", type=int, default=32000)
    parser.add_argument("--dtype", choices=("bf16", "f16"), default="bf16")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if min(options.hidden, options.ffn, options.layers, options.heads, options.kv_heads) < 1:
        parser.error("sizes must be at least 1")
    if options.hidden % (2 * options.heads) or options.heads % options.kv_heads:
        parser.error("hidden must be a multiple of 2 x heads, and heads one of kv-heads")
    if options.vocab < 258:
        parser.error("vocab must be at least 258: 256 bytes, <s> and </s>")
    return options


def to_bf16(value):
    bits = struct.unpack("<I", struct.pack("<f", value))[0]
    return struct.pack("<H", (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16)


def to_f16(value):
    return struct.pack("<e", value)


class Values:
    """Normal values of deviation 1/sqrt(hidden), cut from one repeated block."""

    def __init__(self, options):
        self.encode = to_bf16 if options.dtype == "bf16" else to_f16
        engine = random.Random(options.seed)
        deviation = 1.0 / math.sqrt(options.hidden)
        # 65536 different values in random order make a block that looks normal in any part.
        palette = [self.encode(engine.gauss(0.0, deviation)) for _ in range(1 << 16)]
        order = engine.randbytes(2 * BLOCK_VALUES)
        indices = struct.unpack(f"<{BLOCK_VALUES}H", order)
        self.block = b"".join([palette[i] for i in indices])
        self.engine = engine

    def matrix(self, n_values):
        """Pieces of 2 * n_values bytes in all, beginning at a random place of the block."""
        shift = 2 * self.engine.randrange(BLOCK_VALUES)
        rolled = self.block[shift:] + self.block[:shift]
        piece = rolled * (WRITE_BYTES // len(rolled))
        left = 2 * n_values
        while left > 0:
            yield piece[:left]
            left -= len(piece)

    def ones(self, n_values):
        yield self.encode(1.0) * n_values


def tensors_of(options):
    """(name, shape) in the order in which a model uses them; 1-d tensors are norm gains."""
    head_dim = options.hidden // options.heads
    kv_dim = options.kv_heads * head_dim
    yield "model.embed_tokens.weight", (options.vocab, options.hidden)
    for layer in range(options.layers):
        prefix = f"model.layers.{layer}."
        yield prefix + "input_layernorm.weight", (options.hidden,)
        yield prefix + "self_attn.q_proj.weight", (options.hidden, options.hidden)
        yield prefix + "self_attn.k_proj.weight", (kv_dim, options.hidden)
        yield prefix + "self_attn.v_proj.weight", (kv_dim, options.hidden)
        yield prefix + "self_attn.o_proj.weight", (options.hidden, options.hidden)
        yield prefix + "post_attention_layernorm.weight", (options.hidden,)
        yield prefix + "mlp.gate_proj.weight", (options.ffn, options.hidden)
        yield prefix + "mlp.up_proj.weight", (options.ffn, options.hidden)
        yield prefix + "mlp.down_proj.weight", (options.hidden, options.ffn)
    yield "model.norm.weight", (options.hidden,)
    yield "lm_head.weight", (options.vocab, options.hidden)


def shards_of(tensors):
    shards, used = [], SHARD_BYTES
    for name, shape in tensors:
        size = 2 * math.prod(shape)
        if used + size > SHARD_BYTES and (not shards or used > 0):
            shards.append([])
            used = 0
        shards[-1].append((name, shape, size))
        used += size
    return shards


def write_shard(path, tensors, dtype, values):
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for name, shape, size in tensors:
        span = [offset, offset + size]
        header[name] = {"dtype": dtype.upper(), "shape": list(shape), "data_offsets": span}
        offset += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "xb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for _, shape, size in tensors:
            make = values.ones if len(shape) == 1 else values.matrix
            for piece in make(size // 2):
                file.write(piece)


def write_weights(options):
    shards = shards_of(tensors_of(options))
    names = [f"model-{i + 1:05}-of-{len(shards):05}.safetensors" for i in range(len(shards))]
    if len(shards) == 1:
        names = ["model.safetensors"]
    values = Values(options)
    for file, shard in zip(names, shards):
        write_shard(os.path.join(options.out, file), shard, options.dtype, values)
    total = sum(size for shard in shards for _, _, size in shard)
    if len(shards) > 1:
        weight_map = {name: file for file, shard in zip(names, shards) for name, _, _ in shard}
        index = {"metadata": {"total_size": total}, "weight_map": weight_map}
        write_json(options, "model.safetensors.index.json", index)
    return total // 2


def write_json(options, name, content):
    with open(os.path.join(options.out, name), "x", encoding="utf-8") as file:
        json.dump(content, file, indent=2, ensure_ascii=False)
        file.write("\n")


def config_of(options):
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "bos_token_id": 256,
        "eos_token_id": 257,
        "hidden_act": "silu",
        "hidden_size": options.hidden,
        "intermediate_size": options.ffn,
        "max_position_embeddings": 4096,
        "num_attention_heads": options.heads,
        "num_hidden_layers": options.layers,
        "num_key_value_heads": options.kv_heads,
        "rms_norm_eps": 1e-05,
        "rope_theta": 10000.0,
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16" if options.dtype == "bf16" else "float16",
        "vocab_size": options.vocab,
    }


def byte_characters():
    """The printable stand-ins that byte-level BPE writes for the 256 bytes."""
    kept = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in kept]
    stand_ins = {byte: chr(byte) for byte in kept}
    stand_ins.update({byte: chr(256 + i) for i, byte in enumerate(others)})
    return [stand_ins[byte] for byte in range(256)]


def tokenizer_of(options):
    vocabulary = {character: i for i, character in enumerate(byte_characters())}
    vocabulary["<s>"], vocabulary["</s>"] = 256, 257
    vocabulary.update({f"<unused{i}>": i for i in range(258, options.vocab)})
    added = [
        {"id": vocabulary[token], "content": token, "single_word": False, "lstrip": False,
         "rstrip": False, "normalized": False, "special": True}
        for token in ("<s>", "</s>")
    ]
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True,
                  "use_regex": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": None,
        "pre_tokenizer": byte_level,
        "post_processor": None,
        "decoder": byte_level,
        "model": {"type": "BPE", "dropout": None, "unk_token": None,
                  "continuing_subword_prefix": None, "end_of_word_suffix": None,
                  "fuse_unk": False, "byte_fallback": False, "vocab": vocabulary, "merges": []},
    }


def main():
    options = arguments()
    os.mkdir(options.out)
    write_json(options, "config.json", config_of(options))
    write_json(options, "tokenizer.json", tokenizer_of(options))
    write_json(options, "tokenizer_config.json",
               {"bos_token": "<s>", "eos_token": "</s>", "tokenizer_class": "PreTrainedTokenizerFast"})
    parameters = write_weights(options)
    print(f"{options.out}: {parameters / 1e9:.3f} billion parameters", file=sys.stderr)


if __name__ == "__main__":
    main()
