// OPT: LayerNorm, learned positions, biases everywhere, ReLU without a gate.
#include <fmt/format.h>

#include "core/error.h"
#include "folder/families/config_fields.h"
#include "folder/families/family.h"

namespace quarot::folder {

namespace {

using model::LinearRole;
using model::NormRole;

constexpr std::array<std::string_view, 1> kArchitectures = {"OPTForCausalLM"};
constexpr int64_t kPositionOffset = 2;  // rows of the table before that of position 0
constexpr double kNormEps = 1e-5;       // files do not say

// OPT-350m alone is built otherwise.
void check_structure(const io::Json& config, int64_t hidden) {
    if (!bool_or(config, "do_layer_norm_before", true)) {
        fail(ErrorCode::Unsupported,
             "{} is false (OPT-350m), and this version runs no model whose norms follow the sums",
             config.at("do_layer_norm_before").place());
    }
    expect_bool(config, "_remove_final_layer_norm", false);
    expect_bool(config, "layer_norm_elementwise_affine", true);
    const io::Json* width = config.find("word_embed_proj_dim");
    if (width == nullptr || width->as_int() == hidden) return;
    fail(ErrorCode::Unsupported,
         "{} is {} (OPT-350m), and this version runs models with embeddings of hidden_size ({}) "
         "only",
         width->place(), width->as_int(), hidden);
}

model::ModelConfig read_config(const io::Json& config) {
    model::ModelConfig model =
        read_common_fields(config, {.ffn = "ffn_dim",
                                    .norm_eps = "layer_norm_eps",
                                    .activation = "activation_function",
                                    .default_activation = model::Activation::Relu,
                                    .default_norm_eps = kNormEps,
                                    .tied = true,
                                    .has_rope = false});
    model.family = "opt";
    check_structure(config, model.hidden);
    model.norm = model::NormKind::Layer;
    model.norm_bias = true;
    model.gated = false;
    model.learned_positions = model.max_positions + kPositionOffset;
    model.position_offset = kPositionOffset;
    if (bool_or(config, "enable_bias", true)) {
        model.bias = kAttentionLinears | model::RoleSet{LinearRole::Up, LinearRole::Down};
    }
    return model;
}

std::string name_in_layer(LinearRole role) {
    switch (role) {
        case LinearRole::O:
            return "self_attn.out_proj";
        case LinearRole::Up:
            return "fc1";
        case LinearRole::Down:
            return "fc2";
        default:
            return fmt::format("self_attn.{}", name_of(role));
    }
}

TensorSlice linear(const model::LinearId& id, const model::ModelConfig&) {
    if (id.role == LinearRole::LmHead) return {.name = "lm_head"};
    if (!is_of_layers(id.role)) return {.name = fmt::format("model.decoder.{}", name_of(id.role))};
    return {.name = fmt::format("model.decoder.layers.{}.{}", id.layer, name_in_layer(id.role))};
}

// final_layer_norm is a layer's second norm, and the model's last.
std::string norm(NormRole role, int64_t layer, const model::ModelConfig&) {
    if (role == NormRole::Final) return "model.decoder.final_layer_norm";
    return fmt::format("model.decoder.layers.{}.{}", layer,
                       role == NormRole::MlpIn ? "final_layer_norm" : "self_attn_layer_norm");
}

}  // namespace

extern constinit const Family kOptFamily = {.name = "opt",
                                            .architectures = kArchitectures,
                                            .read_config = read_config,
                                            .linear = linear,
                                            .norm = norm};

}  // namespace quarot::folder
