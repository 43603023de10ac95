#include "model/weights.h"

#include <algorithm>
#include <utility>

#include "model/head_rows.h"
#include "model/key_bias.h"
#include "model/online_transforms.h"
#include "model/role_formats.h"
#include "model/shard.h"

namespace quarot::model {

namespace {

using kernels::Backend;
using kernels::Buffer;

Buffer upload_floats(const std::vector<float>& values, Backend& backend) {
    const auto bytes = static_cast<int64_t>(values.size() * sizeof(float));
    Buffer buffer = backend.allocate(bytes);
    backend.upload(buffer.data(), values.data(), bytes);
    return buffer;
}

// Null for the identity.
std::unique_ptr<kernels::Transform> prepare(const std::optional<linalg::Mixer>& mixer,
                                            int64_t inner, DType storage, Backend& backend) {
    if (!mixer || mixer->kind == linalg::MixerKind::Identity) return nullptr;
    return backend.prepare_transform(*mixer, inner, storage);
}

}  // namespace

kernels::ActivationFormat Weights::activation_format(LinearRole role) const {
    kernels::ActivationFormat format = model::activation_format(recipe, role);
    const int64_t block = column_block(recipe, config, role);
    if (format.bits < 16 && format.group_size == 0) format.group_size = block;
    return format;
}

kernels::ActivationFormat Weights::activation_format(int64_t layer, LinearRole role) const {
    kernels::ActivationFormat format = activation_format(role);
    const auto& clips = layers[static_cast<size_t>(layer)].clips;
    const float own = clips[static_cast<size_t>(site_of(role))];
    if (own != 0.0f) format.clip = own;
    return format;
}

kernels::KvDescriptor Weights::kv_descriptor(int64_t sequences) const {
    return {.n_layers = config.n_layers,
            .n_kv_heads = config.n_kv_heads,
            .head_dim = config.head_dim,
            .page_tokens = 64,
            .k = recipe.k,
            .v = recipe.v,
            .k_bias_apart = keeps_k_bias_apart(recipe, config),
            .sequences = sequences};
}

void Weights::set_linear(const LinearId& id, kernels::LinearWeights linear, Backend& backend) {
    LayerWeights& layer = layers[static_cast<size_t>(id.layer)];
    order_head_rows(id.role, config, linear);
    if (id.role == LinearRole::K && keeps_k_bias_apart(recipe, config)) {
        layer.key_bias =
            upload_floats(key_bias_basis(linear.bias, recipe.rotation, config), backend);
        linear.bias.clear();
    }
    if (id.role == LinearRole::K && k_bias_vanishes(config, id.layer)) linear.bias.clear();
    linear.activation_group = activation_format(id.role).corrected_group();
    const auto role = static_cast<size_t>(id.role);
    if (id.expert < 0) {
        layer.linears[role] = backend.prepare_linear(std::move(linear));
        return;
    }
    layer.experts[role].resize(static_cast<size_t>(config.mixture.n_experts));
    layer.experts[role][static_cast<size_t>(id.expert)] = backend.prepare_linear(std::move(linear));
}

void Weights::add_block(const LinearId& id, kernels::LinearWeights block, Backend& backend) {
    LayerWeights& layer = layers[static_cast<size_t>(id.layer)];
    block.activation_group = activation_format(id.role).corrected_group();
    layer.more_blocks[static_cast<size_t>(id.role)].push_back(
        backend.prepare_linear(std::move(block)));
}

NormWeights upload_norm(const std::vector<float>& gain, const std::vector<float>& bias,
                        Backend& backend) {
    NormWeights norm;
    const bool ones = std::all_of(gain.begin(), gain.end(), [](float g) { return g == 1.0f; });
    if (!ones) norm.gain_buffer = upload_floats(gain, backend);
    if (!bias.empty()) norm.bias_buffer = upload_floats(bias, backend);
    return norm;
}

ColumnSplit upload_split(const std::vector<int32_t>& order, int64_t n_outliers, Backend& backend) {
    const auto bytes = static_cast<int64_t>(order.size() * sizeof(int32_t));
    ColumnSplit split{backend.allocate(bytes), std::ssize(order) - n_outliers, n_outliers};
    backend.upload(split.columns.data(), order.data(), bytes);
    return split;
}

Weights weights_frame(const ModelConfig& config, const Recipe& recipe, const std::string& name,
                      int64_t n_positions, Backend& backend) {
    Weights weights;
    weights.config = config;
    weights.recipe = recipe;
    weights.name = name;
    weights.n_positions = n_positions;
    const OnlineTransforms online = make_online_transforms(recipe.rotation, config);
    if (rotates_embedding_online(recipe, config)) {
        const linalg::Mixer residual = residual_mixer(recipe.rotation, config);
        weights.enter_residual = prepare(residual, 1, DType::F32, backend);
        weights.leave_residual = prepare(linalg::transposed(residual), 1, DType::F32, backend);
    }
    weights.residual = prepare(online.residual, 1, recipe.rotation.online_dtype, backend);
    weights.query_key = prepare(online.query_key, 1, DType::F32, backend);
    weights.head_mix =
        prepare(online.head_mix, config.head_dim, recipe.rotation.online_dtype, backend);
    weights.ffn = prepare(online.ffn, 1, recipe.rotation.online_dtype, backend);
    weights.expert_ffn = prepare(online.expert_ffn, 1, recipe.rotation.online_dtype, backend);
    for (const RopeConfig& rope : config.ropes) {
        weights.ropes.push_back(
            std::make_unique<RopeTables>(rope, config.head_dim, n_positions, backend));
    }
    return weights;
}

}  // namespace quarot::model
