#!/usr/bin/env python3
"""Makes tests/golden/families: tiny random models of each family and their logits by transformers.

    pip install torch transformers==5.24.0 safetensors
    python tests/golden/make_families.py [NAME...]

Everything follows from the seeds below; the biases of keys are as large as those of Qwen 2.5. A folder
holds config.json as transformers writes it, config_hub.json as older folders on the hub have it, and the
logits of three sequences; of the first eight tokens of the first it has 24 that follow them greedily, and
by how much each was the likeliest.
"""
import json
import pathlib
import sys
import tempfile

import torch
from safetensors.torch import load_file, save_file
import transformers

OUT = pathlib.Path(__file__).parent / "families"
SEQUENCES = [[(i * i * 13 + 5 * i + 1) % 90 for i in range(40)],  # below 96, the vocabulary
             [(i * i * 7 + 11 * i + 3) % 90 for i in range(23)], [17, 4, 80]]
PROMPT, NEW = 8, 24  # tokens
COMMON = dict(vocab_size=96, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
              num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64,
              rms_norm_eps=1e-6, hidden_act="silu", tie_word_embeddings=False, bos_token_id=1,
              eos_token_id=2, pad_token_id=0, attn_implementation="eager")
# name: (class of the config, of the model, what differs from COMMON, what a hub file has besides or
# otherwise, which keys of transformers' it lacks). Seeds follow from the order.
MODELS = {
    "qwen2": ("Qwen2Config", "Qwen2ForCausalLM", dict(use_sliding_window=False), dict(), []),
    "qwen3": ("Qwen3Config", "Qwen3ForCausalLM", dict(head_dim=12, attention_bias=False), dict(),
              []),
    "phi3": ("Phi3Config", "Phi3ForCausalLM", dict(rope_scaling=None, sliding_window=None), dict(),
             []),
    "mistral": ("MistralConfig", "MistralForCausalLM", dict(sliding_window=16, head_dim=12), dict(),
                []),
    "gemma": ("GemmaConfig", "GemmaForCausalLM",
              dict(head_dim=12, hidden_act="gelu_pytorch_tanh", tie_word_embeddings=True),
              dict(hidden_act="gelu", hidden_activation=None), ["tie_word_embeddings"]),
    "gemma2": ("Gemma2Config", "Gemma2ForCausalLM",
               dict(num_hidden_layers=3, head_dim=12, hidden_activation="gelu_pytorch_tanh",
                    tie_word_embeddings=True, query_pre_attn_scalar=20, sliding_window=16,
                    attn_logit_softcapping=3.0, final_logit_softcapping=2.0),
               dict(hidden_act="gelu_pytorch_tanh"), ["tie_word_embeddings", "layer_types"]),
    "gemma3": ("Gemma3TextConfig", "Gemma3ForCausalLM",
               dict(num_hidden_layers=4, head_dim=12, hidden_activation="gelu_pytorch_tanh",
                    tie_word_embeddings=True, query_pre_attn_scalar=20, sliding_window=16,
                    layer_types=["sliding_attention", "sliding_attention", "full_attention",
                                 "sliding_attention"],
                    rope_parameters={
                        "sliding_attention": {"rope_type": "default", "rope_theta": 1000.0},
                        "full_attention": {"rope_type": "linear", "factor": 4.0,
                                           "rope_theta": 50000.0}}),
               dict(sliding_window_pattern=3, rope_local_base_freq=1000.0, rope_theta=50000.0,
                    rope_scaling={"rope_type": "linear", "factor": 4.0}),
               ["tie_word_embeddings", "layer_types", "_sliding_window_pattern"]),
    "smollm3": ("SmolLM3Config", "SmolLM3ForCausalLM",
                dict(num_hidden_layers=3, no_rope_layer_interval=2, tie_word_embeddings=True),
                dict(), ["tie_word_embeddings", "layer_types"]),
    "granite": ("GraniteConfig", "GraniteForCausalLM",
                dict(embedding_multiplier=6.0, logits_scaling=3.0, residual_multiplier=0.22,
                     attention_multiplier=0.2), dict(), []),
    "olmo2": ("Olmo2Config", "Olmo2ForCausalLM", dict(), dict(), []),
    "mixtral": ("MixtralConfig", "MixtralForCausalLM",
                dict(num_local_experts=6, num_experts_per_tok=2, sliding_window=16), dict(), []),
    "qwen3_moe": ("Qwen3MoeConfig", "Qwen3MoeForCausalLM",
                  dict(num_hidden_layers=3, head_dim=12, num_experts=5, num_experts_per_tok=3,
                       moe_intermediate_size=24, norm_topk_prob=True, mlp_only_layers=[1]),
                  dict(num_experts=5), ["num_local_experts"]),
    "opt": ("OPTConfig", "OPTForCausalLM",
            dict(ffn_dim=48, num_key_value_heads=4, tie_word_embeddings=True,
                 activation_function="relu"),
            dict(), ["tie_word_embeddings", "intermediate_size", "hidden_act", "rms_norm_eps",
                     "num_key_value_heads"]),
    "gpt_neox": ("GPTNeoXConfig", "GPTNeoXForCausalLM",
                 dict(num_key_value_heads=4, hidden_act="gelu",
                      rope_parameters={"rope_type": "default", "rope_theta": 20000.0,
                                       "partial_rotary_factor": 0.5}),
                 dict(rotary_pct=0.5, rotary_emb_base=20000),
                 ["rope_theta", "rms_norm_eps", "num_key_value_heads"]),
    "gpt_neox_sequential": ("GPTNeoXConfig", "GPTNeoXForCausalLM",
                            dict(num_key_value_heads=4, hidden_act="gelu_new",
                                 use_parallel_residual=False, attention_bias=False),
                            dict(rotary_emb_base=10000),
                            ["rope_theta", "rms_norm_eps", "num_key_value_heads"]),
    "starcoder2": ("Starcoder2Config", "Starcoder2ForCausalLM",
                   dict(tie_word_embeddings=True, hidden_act="gelu_pytorch_tanh", sliding_window=16),
                   dict(),
                   ["tie_word_embeddings", "rms_norm_eps"]),
    "stablelm": ("StableLmConfig", "StableLmForCausalLM", dict(use_qkv_bias=True),
                 dict(partial_rotary_factor=0.25), ["rms_norm_eps"]),
    "stablelm_parallel": ("StableLmConfig", "StableLmForCausalLM",
                          dict(use_parallel_residual=True, partial_rotary_factor=0.5),
                          dict(partial_rotary_factor=0.5), ["rms_norm_eps"]),
    "cohere": ("CohereConfig", "CohereForCausalLM",
               dict(tie_word_embeddings=True, logit_scale=0.5), dict(),
               ["tie_word_embeddings", "rms_norm_eps"]),
}


def randomize(model, seed):
    generator = torch.Generator().manual_seed(seed)
    offset = 0.0 if type(model).__name__.startswith("Gemma") else 1.0
    for name, value in model.named_parameters():
        noise = torch.randn(value.shape, generator=generator)
        if name.endswith("norm.weight"):
            value.data = offset + 0.3 * noise
        elif name.endswith("k_proj.bias"):
            value.data = 20.0 * noise
        elif value.dim() == 1:
            value.data = 0.5 * noise
        elif "embed" in name:  # a tied head that sees little else would repeat its token
            tied = model.config.tie_word_embeddings
            value.data = noise / (value.shape[1] ** 0.5 if tied else 1.0)
        else:
            value.data = noise / value.shape[-1] ** 0.5  # experts are stacked
        value.data = value.data.to(torch.bfloat16).to(torch.float32)


def as_on_the_hub(config, extra, missing):
    hub = dict(config)
    rope = hub.pop("rope_parameters", {})
    if "rope_theta" in rope:
        hub["rope_theta"] = rope["rope_theta"]
    hub["torch_dtype"] = hub.pop("dtype")
    hub.update(extra)
    return {key: value for key, value in hub.items() if key not in missing}


def greedy(model):
    ids, gaps = list(SEQUENCES[0][:PROMPT]), []
    while len(ids) < PROMPT + NEW:
        best = model(torch.tensor([ids])).logits[0, -1].topk(2)
        gaps.append(float(best.values[0] - best.values[1]))
        ids.append(int(best.indices[0]))
    return {"ids": ids[PROMPT:], "gaps": gaps}


def stored(model):
    """Tensors under the names of folders: transformers stacks experts in memory and not on disk."""
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        return load_file(pathlib.Path(folder) / "model.safetensors")


def write(family, seed):
    config_name, model_name, differs, extra, missing = MODELS[family]
    config_class, model_class = getattr(transformers, config_name), getattr(transformers, model_name)
    model = model_class(config_class(**{**COMMON, **differs})).eval()
    randomize(model, seed)
    with torch.no_grad():
        logits = [model(torch.tensor([ids])).logits[0] for ids in SEQUENCES]
        following = greedy(model)
    folder = OUT / family
    folder.mkdir(parents=True, exist_ok=True)
    config = model.config.to_dict()
    config["architectures"] = [model_class.__name__]
    for name, text in (("config", config), ("config_hub", as_on_the_hub(config, extra, missing))):
        (folder / f"{name}.json").write_text(json.dumps(text, indent=1, sort_keys=True) + "\n")
    tensors = {name: value.to(torch.bfloat16).contiguous()
               for name, value in stored(model).items()
               if not (model.config.tie_word_embeddings and name == "lm_head.weight")}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    save_file({f"logits_{i}": values.contiguous() for i, values in enumerate(logits)},
              folder / "reference.safetensors")
    (folder / "reference.json").write_text(
        json.dumps({"sequences": SEQUENCES, "greedy": following}) + "\n")


if __name__ == "__main__":
    wanted = sys.argv[1:] or list(MODELS)
    for index, name in enumerate(MODELS):
        if name in wanted:
            write(name, 7 + index)
