// Tiny models of awkward shapes, rotated and not quantized, and what of their logits may differ.
#pragma once

#include <string>
#include <vector>

#include "golden/golden_support.h"
#include "quantize/quantize_model.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"

namespace quarot::test {

inline constexpr double kRelativeLimit = 2e-5;  // of the largest logit
inline constexpr double kBroken = 1e-3;         // a planted mistake must show at least this

inline Recipe rotated_by(ResidualRotation residual) {
    Recipe recipe = rotated_recipe();
    recipe.rotation.residual = residual;
    return recipe;
}

inline std::vector<int32_t> test_ids(int64_t vocab) {
    std::vector<int32_t> ids;
    for (int64_t i = 0; i < 90; ++i) {
        ids.push_back(static_cast<int32_t>((i * i * 13 + 5 * i + 1) % vocab));
    }
    return ids;
}

inline std::vector<float> logits_of(LoadedModel& model) {
    return all_logits(model, test_ids(model.weights->config.vocab));
}

inline std::vector<float> logits_of(const std::string& folder) {
    LoadedModel model = load(folder, {.context = 128});
    return logits_of(model);
}

inline std::string rotate(const std::string& in, const std::string& out, const Recipe& recipe) {
    quantize::quantize_model(in, out, {.recipe = recipe, .n_threads = 2});
    return out;
}

inline std::string rotate(const std::string& in, const std::string& out,
                          ResidualRotation residual) {
    return rotate(in, out, rotated_by(residual));
}

struct Shape {
    std::string name;
    TinyModelOptions options;  // or a folder:
    std::string folder;
};

inline TinyModelOptions shape(int64_t hidden, int64_t ffn, int64_t heads, int64_t kv_heads,
                              int64_t head_dim) {
    return {.hidden = hidden,
            .ffn = ffn,
            .n_heads = heads,
            .n_kv_heads = kv_heads,
            .head_dim = head_dim,
            .seed = 3};
}

inline TinyModelOptions with_biases(TinyModelOptions options) {
    options.attention_bias = options.mlp_bias = true;
    return options;
}

inline TinyModelOptions tied(TinyModelOptions options) {
    options.tied = true;
    return options;
}

// Width 12 and its kin give Hadamard matrices that are not symmetric, for the residual stream, the
// heads and the FFN alike.
inline TinyModelOptions unsymmetric_shape() {
    return shape(24, 48, 12, 12, 12);
}

}  // namespace quarot::test
