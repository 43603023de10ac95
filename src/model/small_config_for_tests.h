// A model of one layer whose widths are no powers of two.
#pragma once

#include "model/config.h"

namespace quarot::model {

inline ModelConfig small_config() {
    ModelConfig config;
    config.hidden = 96;
    config.ffn = 192;
    config.n_heads = 2;
    config.n_kv_heads = 1;
    config.head_dim = 48;
    config.n_layers = 1;
    return config;
}

}  // namespace quarot::model
