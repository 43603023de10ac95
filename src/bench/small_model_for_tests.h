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

}  // namespace quarot::bench
