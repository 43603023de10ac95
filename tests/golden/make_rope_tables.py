#!/usr/bin/env python3
"""Makes tests/golden/positions/rope_tables.json: frequencies and amplitudes by transformers.

    pip install torch transformers==5.24.0
    python tests/golden/make_rope_tables.py

Every entry has a config in the spelling that files on the hub have ("old") and in that of
transformers 5 ("new"), the length that the table is for, and what transformers computes in fp32.
"""
import json
import pathlib

from transformers import GPTNeoXConfig, LlamaConfig, Phi3Config, Qwen2Config, StableLmConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS
from transformers.models.gpt_neox.modeling_gpt_neox import GPTNeoXRotaryEmbedding
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding
from transformers.models.phi3.modeling_phi3 import Phi3RotaryEmbedding
from transformers.models.qwen2.modeling_qwen2 import Qwen2RotaryEmbedding
from transformers.models.stablelm.modeling_stablelm import StableLmRotaryEmbedding

OUT = pathlib.Path(__file__).parent / "positions" / "rope_tables.json"
DEFAULTS = {LlamaConfig: LlamaRotaryEmbedding, Qwen2Config: Qwen2RotaryEmbedding,
            Phi3Config: Phi3RotaryEmbedding, GPTNeoXConfig: GPTNeoXRotaryEmbedding,
            StableLmConfig: StableLmRotaryEmbedding}
SHORT = [1.0 + 0.03 * i for i in range(48)]
LONG = [1.0 + 0.02 * i + 0.025 * i * i for i in range(48)]
LLAMA3 = dict(rope_type="llama3", low_freq_factor=1.0, high_freq_factor=4.0,
              original_max_position_embeddings=8192)


def shape(head_dim, positions, **more):
    return dict(hidden_size=4 * head_dim, num_attention_heads=4, num_key_value_heads=2,
                intermediate_size=64, num_hidden_layers=1, vocab_size=64,
                max_position_embeddings=positions, **more)


def phi(kind="longrope", **more):
    return shape(96, 131072, original_max_position_embeddings=4096, rope_theta=10000.0,
                 rope_scaling=dict(type=kind, short_factor=SHORT, long_factor=LONG), **more)


PHI4_MINI = shape(128, 131072, original_max_position_embeddings=4096, rope_theta=10000.0,
                  partial_rotary_factor=0.75,
                  rope_scaling=dict(type="longrope", short_factor=SHORT, long_factor=LONG))
QWEN = dict(factor=4.0, original_max_position_embeddings=32768, type="yarn")
DEEPSEEK = dict(beta_fast=32, beta_slow=1, factor=40, mscale=0.707, mscale_all_dim=0.707,
                original_max_position_embeddings=4096, type="yarn")

CASES = [
    ("llama-2", LlamaConfig, 4096, shape(128, 4096, rope_theta=10000.0)),
    ("qwen2.5", Qwen2Config, 32768, shape(64, 32768, rope_theta=1000000.0)),
    ("linear", LlamaConfig, 16384, shape(128, 16384, rope_theta=10000.0,
                                         rope_scaling=dict(type="linear", factor=4.0))),
    ("dynamic, short", LlamaConfig, 2048, shape(64, 2048, rope_theta=10000.0,
                                                rope_scaling=dict(type="dynamic", factor=2.0))),
    ("dynamic, long", LlamaConfig, 6000, shape(64, 2048, rope_theta=10000.0,
                                               rope_scaling=dict(type="dynamic", factor=4.0))),
    ("qwen2.5 with yarn", Qwen2Config, 131072, shape(128, 32768, rope_theta=1000000.0,
                                                     rope_scaling=QWEN)),
    ("yarn with mscale", LlamaConfig, 163840, shape(64, 163840, rope_theta=10000.0,
                                                    rope_scaling=DEEPSEEK)),
    ("yarn, two mscales", LlamaConfig, 65536, shape(
        128, 65536, rope_theta=10000.0, rope_scaling=dict(DEEPSEEK, factor=16.0, mscale=1.0,
                                                          mscale_all_dim=0.5))),
    ("yarn, other borders", LlamaConfig, 8192, shape(
        64, 8192, rope_theta=50000.0, rope_scaling=dict(
            rope_type="yarn", factor=8.0, attention_factor=1.25, beta_fast=16.0, beta_slow=2.0,
            original_max_position_embeddings=1024))),
    ("yarn without its context", LlamaConfig, 4096, shape(
        64, 4096, rope_theta=10000.0, rope_scaling=dict(rope_type="yarn", factor=2.0))),
    ("yarn, one step", LlamaConfig, 64, shape(
        8, 64, rope_theta=1e9, rope_scaling=dict(rope_type="yarn", factor=2.0, beta_fast=1.5,
                                                 beta_slow=1.5,
                                                 original_max_position_embeddings=8))),
    ("llama-3.1", LlamaConfig, 131072, shape(128, 131072, rope_theta=500000.0,
                                             rope_scaling=dict(LLAMA3, factor=8.0))),
    ("llama-3.2", LlamaConfig, 131072, shape(64, 131072, rope_theta=500000.0,
                                             rope_scaling=dict(LLAMA3, factor=32.0))),
    ("phi-3-mini-128k, short", Phi3Config, 4096, phi()),
    ("phi-3-mini-128k, long", Phi3Config, 4097, phi()),
    ("phi-3-mini-128k of April 2024", Phi3Config, 131072, phi("su")),
    ("phi-4-mini, short", Phi3Config, 1000, PHI4_MINI),
    ("phi-4-mini, long", Phi3Config, 131072, PHI4_MINI),
    ("longrope with its amplitude", LlamaConfig, 131072, shape(
        96, 131072, rope_theta=10000.0, rope_scaling=dict(
            rope_type="longrope", short_factor=SHORT, long_factor=LONG, attention_factor=1.1,
            original_max_position_embeddings=8192))),
    ("longrope with a factor", LlamaConfig, 131072, shape(
        96, 131072, rope_theta=10000.0, rope_scaling=dict(
            rope_type="longrope", short_factor=SHORT, long_factor=LONG, factor=12.0,
            original_max_position_embeddings=8192))),
    ("pythia", GPTNeoXConfig, 2048, shape(64, 2048, rotary_pct=0.25, rotary_emb_base=10000)),
    ("stablelm", StableLmConfig, 4096, shape(64, 4096, partial_rotary_factor=0.25,
                                             rope_theta=10000.0)),
]


def entry(name, config_class, length, old):
    # transformers 5 refuses the older name of longrope.
    config = config_class(**json.loads(json.dumps(old).replace('"su"', '"longrope"')))
    kind = config.rope_parameters["rope_type"]
    make = (DEFAULTS[config_class].compute_default_rope_parameters if kind == "default"
            else ROPE_INIT_FUNCTIONS[kind])
    frequencies, amplitude = make(config, device="cpu", seq_len=length)
    keys = ("max_position_embeddings", "original_max_position_embeddings")
    new = {key: value for key, value in config.to_dict().items() if key in keys}
    new["rope_parameters"] = config.rope_parameters
    return {"name": name, "head_dim": old["hidden_size"] // old["num_attention_heads"],
            "length": length, "old": old, "new": new, "amplitude": amplitude,
            "frequencies": [float(f"{f:.9g}") for f in frequencies.tolist()]}


if __name__ == "__main__":
    entries = [entry(*case) for case in CASES]
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text("[" + ",\n".join(json.dumps(e) for e in entries) + "]\n")
