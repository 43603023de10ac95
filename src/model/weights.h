// A model made ready on a backend: what forward() reads.
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "kernels/ops.h"
#include "model/config.h"
#include "model/roles.h"
#include "model/rope_tables.h"
#include "model/shard.h"
#include "recipe/recipe.h"

namespace quarot::model {

// A norm's gain in backend memory, empty when it is all ones (folded), and its bias, empty when it
// has none.
struct NormWeights {
    kernels::Buffer gain_buffer, bias_buffer;
    const float* gain() const { return static_cast<const float*>(gain_buffer.data()); }
    const float* bias() const { return static_cast<const float*>(bias_buffer.data()); }
};

// Where the columns that linears of one site read stand in what it gives, first those of the main
// linears, then those of the outliers'; empty if the site has one linear a role, which reads all.
struct ColumnSplit {
    kernels::Buffer columns;  // int32 [n_main + n_outliers]
    int64_t n_main = 0;
    int64_t n_outliers = 0;
    bool empty() const { return n_main == 0; }
    const int32_t* data() const { return static_cast<const int32_t*>(columns.data()); }
};

struct LayerWeights {
    std::array<NormWeights, kNormRoles> norms;    // by NormRole
    std::array<ColumnSplit, kInputSites> splits;  // by InputSite
    std::array<float, kInputSites> clips{};       // of activations, by InputSite; 0: the recipe's
    std::array<std::unique_ptr<kernels::Linear>, kLinearRolesOfLayers> outliers;  // or null
    std::array<std::unique_ptr<kernels::Linear>, kLinearRolesOfLayers> linears;   // by LinearRole
    // Of a mixture: the linears of its experts by LinearRole and expert; linears has none of them.
    std::array<std::vector<std::unique_ptr<kernels::Linear>>, kLinearRolesOfLayers> experts;
    kernels::ExpertLinears experts_of(LinearRole role) const {
        return experts[static_cast<size_t>(role)];
    }
    kernels::Buffer key_bias;  // KeyBias::basis where the cache leaves it out
    const kernels::Linear& linear(LinearRole role) const {
        return *linears[static_cast<size_t>(role)];
    }
    const NormWeights& norm(NormRole role) const { return norms[static_cast<size_t>(role)]; }
    const kernels::Linear* outlier(LinearRole role) const {
        return outliers[static_cast<size_t>(role)].get();
    }
    // Of o and down: Linears of the column blocks after the first, which is linear(role); empty
    // where it has all columns.
    std::array<std::vector<std::unique_ptr<kernels::Linear>>, kLinearRolesOfLayers> more_blocks;
    const kernels::Linear& block(LinearRole role, int64_t index) const {
        const auto& more = more_blocks[static_cast<size_t>(role)];
        return index == 0 ? linear(role) : *more[static_cast<size_t>(index - 1)];
    }
    int64_t n_blocks(LinearRole role) const {
        return 1 + std::ssize(more_blocks[static_cast<size_t>(role)]);
    }
    const ColumnSplit& split(InputSite site) const { return splits[static_cast<size_t>(site)]; }
};

struct Weights {
    ModelConfig config;  // of the rank
    Shard shard;
    Recipe recipe;  // activations, k and v decide what forward quantizes
    std::unique_ptr<kernels::Embedding> embedding;  // may read lm_head
    std::unique_ptr<kernels::Embedding> positions;  // or null
    std::vector<LayerWeights> layers;
    NormWeights final_norm;
    std::unique_ptr<kernels::Linear> lm_head;
    // Of a tied model whose matrix is not rotated: R1 after a row is read, and undone before the
    // last norm. R1's signs are in the matrix. Else null.
    std::unique_ptr<kernels::Transform> enter_residual, leave_residual;
    std::unique_ptr<kernels::Transform> residual;    // R1 at inputs of layers, or null
    std::unique_ptr<kernels::Transform> query_key;   // R3 or null
    std::unique_ptr<kernels::Transform> head_mix;    // or null
    std::unique_ptr<kernels::Transform> ffn;         // R4 or null
    std::unique_ptr<kernels::Transform> expert_ffn;  // R4 of experts, or null
    std::vector<std::unique_ptr<RopeTables>> ropes;  // the config's; made on by StepMemory::upload
    int64_t n_positions = 0;
    std::string name;  // the folder, for messages

    // Without angles where the layer has no RoPE.
    kernels::RopeTable rope_table(int64_t layer) const {
        const int rope = config.layer(layer).rope;
        return rope < 0 ? kernels::RopeTable{} : ropes[static_cast<size_t>(rope)]->view();
    }
    kernels::KeyBias key_bias(int64_t layer) const {
        const kernels::Buffer& basis = layers[static_cast<size_t>(layer)].key_bias;
        return {static_cast<const float*>(basis.data()), rope_table(layer)};
    }
    // Puts a linear of a layer, its rows as stored, in place, prepared for the activations that the
    // recipe gives it. The bias of keys goes into key_bias where the cache leaves it out, and
    // nowhere in a layer without RoPE: there it adds the same to all scores of a query, which
    // softmax does not see.
    void set_linear(const LinearId& id, kernels::LinearWeights linear, kernels::Backend& backend);
    // Puts the next column block of o or down behind those that are there.
    void add_block(const LinearId& id, kernels::LinearWeights block, kernels::Backend& backend);
    // What down_proj's and the other linears' inputs are quantized to. Where a recipe has column
    // blocks, tokens have a scale in each.
    kernels::ActivationFormat activation_format(LinearRole role) const;
    // With the clip ratio that the layer has for them.
    kernels::ActivationFormat activation_format(int64_t layer, LinearRole role) const;
    // Of a cache for so many sequences at once.
    kernels::KvDescriptor kv_descriptor(int64_t sequences = 1) const;
};

// bias: empty for none.
NormWeights upload_norm(const std::vector<float>& gain, const std::vector<float>& bias,
                        kernels::Backend& backend);

// order: the columns that main linears read, then n_outliers others.
ColumnSplit upload_split(const std::vector<int32_t>& order, int64_t n_outliers,
                         kernels::Backend& backend);

// Weights without embedding, layers and head: what all layers share. name: for messages;
// n_positions as in load_weights.
Weights weights_frame(const ModelConfig& config, const Recipe& recipe, const std::string& name,
                      int64_t n_positions, kernels::Backend& backend);

}  // namespace quarot::model
