// config.json texts of real models, and small changes to them.
#pragma once

#include <string>

#include "folder/families/family.h"

namespace quarot::folder {

inline model::ModelConfig read_text(const std::string& text) {
    const io::Json json = io::Json::parse(text, "config.json");
    return family_of(json).read_config(json);
}

inline constexpr const char* kLlama2 = R"({
  "architectures": ["LlamaForCausalLM"], "bos_token_id": 1, "eos_token_id": 2,
  "hidden_act": "silu", "hidden_size": 4096, "initializer_range": 0.02,
  "intermediate_size": 11008, "max_position_embeddings": 4096, "model_type": "llama",
  "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 32,
  "pretraining_tp": 1, "rms_norm_eps": 1e-05, "rope_scaling": null,
  "tie_word_embeddings": false, "torch_dtype": "float16", "use_cache": true, "vocab_size": 32000
})";

inline constexpr const char* kLlama3 = R"({
  "architectures": ["LlamaForCausalLM"], "attention_bias": false, "bos_token_id": 128000,
  "eos_token_id": 128001, "hidden_act": "silu", "hidden_size": 8192,
  "intermediate_size": 28672, "max_position_embeddings": 8192, "model_type": "llama",
  "num_attention_heads": 64, "num_hidden_layers": 80, "num_key_value_heads": 8,
  "rms_norm_eps": 1e-05, "rope_scaling": null, "rope_theta": 500000.0,
  "tie_word_embeddings": false, "torch_dtype": "bfloat16", "vocab_size": 128256
})";

inline constexpr const char* kLlama31 = R"({
  "architectures": ["LlamaForCausalLM"], "attention_bias": false, "bos_token_id": 128000,
  "eos_token_id": [128001, 128008, 128009], "hidden_act": "silu", "hidden_size": 4096,
  "intermediate_size": 14336, "max_position_embeddings": 131072, "mlp_bias": false,
  "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 8,
  "rms_norm_eps": 1e-05,
  "rope_scaling": {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                   "original_max_position_embeddings": 8192, "rope_type": "llama3"},
  "rope_theta": 500000.0, "tie_word_embeddings": false, "vocab_size": 128256
})";

inline constexpr const char* kLlama32 = R"({
  "architectures": ["LlamaForCausalLM"], "bos_token_id": 128000, "eos_token_id": 128001,
  "head_dim": 64, "hidden_act": "silu", "hidden_size": 2048, "intermediate_size": 8192,
  "max_position_embeddings": 131072, "num_attention_heads": 32, "num_hidden_layers": 16,
  "num_key_value_heads": 8, "rms_norm_eps": 1e-05,
  "rope_scaling": {"factor": 32.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0,
                   "original_max_position_embeddings": 8192, "rope_type": "llama3"},
  "rope_theta": 500000.0, "tie_word_embeddings": true, "vocab_size": 128256
})";

inline constexpr const char* kTinyLlama = R"({
  "architectures": ["LlamaForCausalLM"], "bos_token_id": 1, "eos_token_id": 2,
  "hidden_act": "silu", "hidden_size": 2048, "intermediate_size": 5632,
  "max_position_embeddings": 2048, "num_attention_heads": 32, "num_hidden_layers": 22,
  "num_key_value_heads": 4, "rms_norm_eps": 1e-05, "rope_scaling": null,
  "tie_word_embeddings": false, "vocab_size": 32000
})";

inline constexpr const char* kSmolLm2 = R"({
  "architectures": ["LlamaForCausalLM"], "attention_bias": false, "bos_token_id": 1,
  "eos_token_id": 2, "hidden_act": "silu", "hidden_size": 576, "intermediate_size": 1536,
  "max_position_embeddings": 8192, "mlp_bias": false, "num_attention_heads": 9,
  "num_hidden_layers": 30, "num_key_value_heads": 3, "rms_norm_eps": 1e-05,
  "rope_interleaved": false, "rope_scaling": null, "rope_theta": 100000,
  "tie_word_embeddings": true, "vocab_size": 49152
})";

inline constexpr const char* kMistral = R"({
  "architectures": ["MistralForCausalLM"], "bos_token_id": 1, "eos_token_id": 2,
  "head_dim": 128, "hidden_act": "silu", "hidden_size": 5120, "intermediate_size": 14336,
  "max_position_embeddings": 32768, "num_attention_heads": 32, "num_hidden_layers": 40,
  "num_key_value_heads": 8, "rms_norm_eps": 1e-05, "rope_theta": 1000000.0,
  "sliding_window": null, "tie_word_embeddings": false, "vocab_size": 131072
})";

inline constexpr const char* kNewSpelling = R"({
  "architectures": ["LlamaForCausalLM"], "bos_token_id": 0, "dtype": "bfloat16",
  "eos_token_id": 1, "head_dim": 64, "hidden_act": "silu", "hidden_size": 256,
  "intermediate_size": 768, "max_position_embeddings": 2048, "num_attention_heads": 4,
  "num_hidden_layers": 8, "num_key_value_heads": 2, "rms_norm_eps": 1e-05,
  "rope_parameters": {"rope_theta": 20000.0, "rope_type": "linear", "factor": 2.0},
  "tie_word_embeddings": false, "vocab_size": 4096
})";

inline constexpr const char* kGemma3 = R"({
  "architectures": ["Gemma3ForCausalLM"], "bos_token_id": 2, "eos_token_id": [1, 106],
  "hidden_activation": "gelu_pytorch_tanh", "hidden_size": 1152, "intermediate_size": 6912,
  "max_position_embeddings": 32768, "num_attention_heads": 4, "num_hidden_layers": 2,
  "num_key_value_heads": 1, "rope_local_base_freq": 10000, "sliding_window": 512,
  "sliding_window_pattern": 6, "vocab_size": 262144
})";

inline constexpr const char* kSmolLm3 = R"({
  "architectures": ["SmolLM3ForCausalLM"], "hidden_act": "silu", "hidden_size": 2048,
  "intermediate_size": 11008, "max_position_embeddings": 65536, "num_attention_heads": 16,
  "num_hidden_layers": 2, "num_key_value_heads": 4, "rms_norm_eps": 1e-06, "vocab_size": 128256
})";

inline constexpr const char* kGranite = R"({
  "architectures": ["GraniteForCausalLM"], "hidden_act": "silu", "hidden_size": 2048,
  "intermediate_size": 8192, "max_position_embeddings": 4096, "num_attention_heads": 32,
  "num_hidden_layers": 2, "num_key_value_heads": 8, "rms_norm_eps": 1e-05, "vocab_size": 49155
})";

// kLlama31 with members set (or removed by a null) as in `changes`, an object.
inline std::string changed(const std::string& changes, const char* base = kLlama31) {
    io::Json json = io::Json::parse(base, "base");
    const io::Json wanted = io::Json::parse(changes, "changes");
    for (const auto& [key, value] : wanted.as_object()) json.set(key, value);
    return json.dump();
}

inline std::string without(const std::string& key) {
    io::Json json = io::Json::parse(kLlama31, "base");
    std::erase_if(json.as_object(), [&](const auto& member) { return member.first == key; });
    return json.dump();
}

}  // namespace quarot::folder
