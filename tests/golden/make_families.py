#!/usr/bin/env python3
"""Makes tests/golden/families: tiny random models of each family and their logits by transformers.

    pip install torch transformers==5.24.0 safetensors
    python tests/golden/make_families.py

Everything follows from the seeds below; the biases of keys are as large as those of Qwen 2.5.
"""
import json
import pathlib

import torch
from safetensors.torch import save_file
from transformers import (Phi3Config, Phi3ForCausalLM, Qwen2Config, Qwen2ForCausalLM, Qwen3Config,
                          Qwen3ForCausalLM)

OUT = pathlib.Path(__file__).parent / "families"
IDS = [(i * i * 13 + 5 * i + 1) % 90 for i in range(40)]  # below 96, the rows of the vocabulary
COMMON = dict(vocab_size=96, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
              num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64,
              rms_norm_eps=1e-6, hidden_act="silu", tie_word_embeddings=False, bos_token_id=1,
              eos_token_id=2, pad_token_id=0, attn_implementation="eager")
MODELS = {
    "qwen2": (Qwen2Config, Qwen2ForCausalLM, dict(use_sliding_window=False)),
    "qwen3": (Qwen3Config, Qwen3ForCausalLM, dict(head_dim=12, attention_bias=False)),
    "phi3": (Phi3Config, Phi3ForCausalLM, dict(rope_scaling=None, sliding_window=None)),
}


def randomize(model, seed):
    generator = torch.Generator().manual_seed(seed)
    for name, value in model.named_parameters():
        noise = torch.randn(value.shape, generator=generator)
        if name.endswith("norm.weight"):
            value.data = 1.0 + 0.3 * noise
        elif name.endswith("k_proj.bias"):
            value.data = 20.0 * noise
        elif value.dim() == 1:
            value.data = 0.5 * noise
        elif "embed" in name:
            value.data = noise
        else:
            value.data = noise / value.shape[1] ** 0.5
        value.data = value.data.to(torch.bfloat16).to(torch.float32)


def write(family, seed):
    config_class, model_class, extra = MODELS[family]
    model = model_class(config_class(**COMMON, **extra)).eval()
    randomize(model, seed)
    with torch.no_grad():
        logits = model(torch.tensor([IDS])).logits[0]
    folder = OUT / family
    folder.mkdir(parents=True, exist_ok=True)
    config = model.config.to_dict()
    config["architectures"] = [model_class.__name__]
    (folder / "config.json").write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")
    tensors = {name: value.to(torch.bfloat16).contiguous()
               for name, value in model.state_dict().items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    save_file({"logits": logits.contiguous()}, folder / "reference.safetensors")
    (folder / "reference.json").write_text(json.dumps({"ids": IDS}) + "\n")


if __name__ == "__main__":
    for index, name in enumerate(MODELS):
        write(name, 7 + index)
