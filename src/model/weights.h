// A model made ready on a backend: what forward() reads.
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "kernels/ops.h"
#include "model/config.h"
#include "model/recipe.h"
#include "model/roles.h"
#include "model/source_model.h"

namespace quarot::model {

// A norm's gain in backend memory; empty when it is all ones (folded).
struct Gain {
    kernels::Buffer buffer;
    const float* data() const { return static_cast<const float*>(buffer.data()); }
};

struct LayerWeights {
    Gain attention_norm;
    Gain mlp_norm;
    std::array<std::unique_ptr<kernels::Linear>, kLayerRoles.size()> linears;  // by LinearRole
    const kernels::Linear& linear(LinearRole role) const {
        return *linears[static_cast<size_t>(role)];
    }
};

struct Weights {
    ModelConfig config;
    Recipe recipe;  // activations, k and v decide what forward quantizes
    std::unique_ptr<kernels::Embedding> embedding;
    std::vector<LayerWeights> layers;
    Gain final_norm;
    std::unique_ptr<kernels::Linear> lm_head;
    std::unique_ptr<kernels::Transform> query_key;  // R3 or null
    std::unique_ptr<kernels::Transform> head_mix;   // or null
    std::unique_ptr<kernels::Transform> ffn;        // R4 or null
    kernels::Buffer rope_cos;                       // [n_positions, head_dim / 2] fp32
    kernels::Buffer rope_sin;
    int64_t n_positions = 0;
    std::string name;  // the folder, for messages

    kernels::RopeTable rope_table() const {
        return {static_cast<const float*>(rope_cos.data()),
                static_cast<const float*>(rope_sin.data()), n_positions};
    }
    // What down_proj's and the other linears' inputs are quantized to.
    kernels::ActivationFormat activation_format(LinearRole role) const;
    kernels::KvDescriptor kv_descriptor() const;
};

// A norm's gain on a backend; empty if all ones.
Gain upload_gain(const std::vector<float>& gain, kernels::Backend& backend);

// Weights without embedding, layers and head: what all layers share. name: for messages;
// n_positions as in load_weights.
Weights weights_frame(const ModelConfig& config, const Recipe& recipe, const std::string& name,
                      int64_t n_positions, kernels::Backend& backend);

// Run-time changes of what is quantized besides weights (flags of perplexity, generate, logits).
struct ActivationOverrides {
    std::optional<int> a_bits, k_bits, v_bits;
    std::optional<float> a_clip, k_clip, v_clip;
};

// Reads the whole model into the backend. n_positions: the longest context that will be used, at
// most config.max_positions. Progress on stderr.
Weights load_weights(const SourceModel& source, const ActivationOverrides& overrides,
                     int64_t n_positions, kernels::Backend& backend);

}  // namespace quarot::model
