#include "folder/stored_names.h"

#include "core/check.h"

namespace quarot::folder {

namespace {

using model::LinearRole;
using model::NormRole;

std::string_view block_of(LinearRole role) {
    const bool in_attention = role == LinearRole::Q || role == LinearRole::K ||
                              role == LinearRole::V || role == LinearRole::O;
    return in_attention ? "self_attn" : "mlp";
}

std::string_view name_in_layer(NormRole role, const model::ModelConfig& config) {
    switch (role) {
        case NormRole::AttentionIn:
            return "input_layernorm";
        case NormRole::AttentionOut:
            return "post_attention_layernorm";
        case NormRole::MlpIn:
            return config.norms_outputs() ? "pre_feedforward_layernorm"
                                          : "post_attention_layernorm";
        case NormRole::MlpOut:
            return "post_feedforward_layernorm";
        case NormRole::Query:
            return "self_attn.q_norm";
        case NormRole::Key:
            return "self_attn.k_norm";
        case NormRole::None:
        case NormRole::Final:
            break;
    }
    check_failed(__FILE__, __LINE__, "a norm of a layer",
                 fmt::format("{}", static_cast<int>(role)));
}

}  // namespace

std::string linear_name(const model::LinearId& id) {
    const std::string_view name = name_of(id.role);
    if (id.role == LinearRole::LmHead) return std::string(name);
    if (!is_of_layers(id.role)) return fmt::format("model.{}", name);
    if (id.role == LinearRole::Router) return fmt::format("model.layers.{}.mlp.gate", id.layer);
    if (id.expert >= 0) {
        return fmt::format("model.layers.{}.mlp.experts.{}.{}", id.layer, id.expert, name);
    }
    return fmt::format("model.layers.{}.{}.{}", id.layer, block_of(id.role), name);
}

std::string norm_stem(NormRole role, int64_t layer, const model::ModelConfig& config) {
    if (role == NormRole::Final) return "model.norm";
    return fmt::format("model.layers.{}.{}", layer, name_in_layer(role, config));
}

std::string norm_name(NormRole role, int64_t layer, const model::ModelConfig& config) {
    return norm_stem(role, layer, config) + ".weight";
}

std::string norm_bias_name(NormRole role, int64_t layer, const model::ModelConfig& config) {
    return norm_stem(role, layer, config) + ".bias";
}

}  // namespace quarot::folder
