#!/usr/bin/env python3
"""Makes the models below tests/golden/positions: tiny, random, of every RoPE that has a family.

    pip install torch transformers==5.24.0 safetensors
    python tests/golden/make_positions.py

Of each, config.json is in the spelling of transformers 5 and hub.json in that of files on the hub;
reference.safetensors has logits_N of the sequences of reference.json, which has the greedy
continuation of each, too, and the gap between the two best logits at every step of it. The last
sequence is longer than the original context.
"""
import json
import pathlib

import torch
from safetensors.torch import save_file
from transformers import (LlamaConfig, LlamaForCausalLM, Phi3Config, Phi3ForCausalLM, Qwen2Config,
                          Qwen2ForCausalLM)

OUT = pathlib.Path(__file__).parent / "positions"
NEW_TOKENS = 24
COMMON = dict(vocab_size=96, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
              num_attention_heads=2, num_key_value_heads=1, rms_norm_eps=1e-6, hidden_act="silu",
              bos_token_id=1, eos_token_id=2, pad_token_id=0)
LENGTHS = (5, 19, 84)  # tokens; the first two and what follows them stay within 48 positions


def longrope(pairs):
    return dict(type="longrope", short_factor=[1.0 + 0.1 * i for i in range(pairs)],
                long_factor=[1.5 + 0.4 * i * i for i in range(pairs)])


PHI_CODE = {"AutoConfig": "configuration_phi3.Phi3Config",
            "AutoModelForCausalLM": "modeling_phi3.Phi3ForCausalLM"}
# What a config.json on the hub has beside COMMON. auto_map stands in those of Phi.
MODELS = {
    "phi3_long": (Phi3Config, Phi3ForCausalLM, dict(
        max_position_embeddings=512, original_max_position_embeddings=48, rope_theta=10000.0,
        rope_scaling=longrope(8), sliding_window=1024, tie_word_embeddings=False,
        auto_map=PHI_CODE)),
    "phi4": (Phi3Config, Phi3ForCausalLM, dict(
        max_position_embeddings=128, original_max_position_embeddings=128, rope_theta=250000.0,
        rope_scaling=None, sliding_window=None, tie_word_embeddings=False, auto_map=PHI_CODE)),
    "phi4_mini": (Phi3Config, Phi3ForCausalLM, dict(
        max_position_embeddings=512, original_max_position_embeddings=48, rope_theta=10000.0,
        partial_rotary_factor=0.75, rope_scaling=longrope(6), sliding_window=1024,
        tie_word_embeddings=True, auto_map=PHI_CODE)),
    "llama_dynamic": (LlamaConfig, LlamaForCausalLM, dict(
        max_position_embeddings=48, rope_theta=10000.0, tie_word_embeddings=False,
        rope_scaling=dict(type="dynamic", factor=4.0))),
    "qwen2_yarn": (Qwen2Config, Qwen2ForCausalLM, dict(
        max_position_embeddings=48, rope_theta=1000000.0, tie_word_embeddings=False,
        use_sliding_window=False, sliding_window=48, max_window_layers=2,
        rope_scaling=dict(type="yarn", factor=4.0, original_max_position_embeddings=48))),
}


def randomize(model, seed):
    generator = torch.Generator().manual_seed(seed)
    for name, value in model.named_parameters():
        noise = torch.randn(value.shape, generator=generator)
        if name.endswith("norm.weight"):
            value.data = 1.0 + 0.3 * noise
        elif value.dim() == 1 or "embed" in name:
            value.data = noise
        else:
            # Scores that depend on positions as much as on tokens.
            wide = 2.0 if "q_proj" in name or "qkv" in name else 1.0
            value.data = wide * noise / value.shape[1] ** 0.5
        value.data = value.data.to(torch.bfloat16).to(torch.float32)


def logits_of(model_class, config, state, ids):
    # A new model each time: tables that grew with one sequence would not be another's.
    model = model_class(config).eval()
    model.load_state_dict(state)
    with torch.no_grad():
        return model(torch.tensor([ids]), use_cache=False).logits[0]


def write(name, seed):
    config_class, model_class, extra = MODELS[name]
    hub = dict(COMMON, architectures=[model_class.__name__], model_type=config_class.model_type,
               torch_dtype="bfloat16", **extra)
    settings = {key: value for key, value in json.loads(json.dumps(hub)).items()
                if key not in ("architectures", "model_type", "torch_dtype", "auto_map")}
    config = config_class(**settings, attn_implementation="eager")
    model = model_class(config)
    randomize(model, seed)
    state = model.state_dict()
    sequences, greedy, gaps, logits = [], [], [], {}
    for index, length in enumerate(LENGTHS):
        ids = [(i * i * (11 + 2 * index) + 7 * i + 3 + index) % 90 for i in range(length)]
        sequences.append(list(ids))
        logits[f"logits_{index}"] = logits_of(model_class, config, state, ids).contiguous()
        greedy.append([])
        gaps.append([])
        for _ in range(NEW_TOKENS):
            best = logits_of(model_class, config, state, ids)[-1].topk(2)
            gaps[-1].append(round(float(best.values[0] - best.values[1]), 6))
            greedy[-1].append(int(best.indices[0]))
            ids.append(greedy[-1][-1])
    folder = OUT / name
    folder.mkdir(parents=True, exist_ok=True)
    written = config.to_dict()
    written["architectures"] = hub["architectures"]
    for file, text in (("config.json", written), ("hub.json", hub)):
        (folder / file).write_text(json.dumps(text, indent=1, sort_keys=True) + "\n")
    tensors = {key: value.to(torch.bfloat16).contiguous() for key, value in state.items()
               if not (config.tie_word_embeddings and key == "lm_head.weight")}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    save_file(logits, folder / "reference.safetensors")
    (folder / "reference.json").write_text(
        json.dumps({"sequences": sequences, "greedy": greedy, "gaps": gaps}) + "\n")


if __name__ == "__main__":
    for index, name in enumerate(MODELS):
        write(name, 21 + index)
