// The shape of the models that tests of bench make.
#pragma once

#include <cstdint>

#include "model/config.h"

namespace quarot::bench {

inline model::ModelConfig small_model(int64_t max_positions) {
    return {.hidden = 64,
            .ffn = 96,
            .n_layers = 2,
            .n_heads = 4,
            .n_kv_heads = 2,
            .head_dim = 16,
            .vocab = 100,
            .max_positions = max_positions};
}

// As OPT: LayerNorm with biases, no gate, and a table of positions instead of RoPE.
inline model::ModelConfig small_opt(int64_t max_positions) {
    model::ModelConfig config = small_model(max_positions);
    config.norm = model::NormKind::Layer;
    config.norm_bias = true;
    config.gated = false;
    config.activation = model::Activation::Relu;
    config.ropes.clear();
    config.layers.assign(static_cast<size_t>(config.n_layers), {.rope = -1});
    config.learned_positions = max_positions + 2;
    config.position_offset = 2;
    return config;
}

}  // namespace quarot::bench
