// Llama 1 to 3.2 and the models built like them (SmolLM2, TinyLlama).
#include "folder/families/llama.h"

#include "core/check.h"
#include "folder/families/config_fields.h"

namespace quarot::folder {

namespace {

constexpr std::array<std::string_view, 1> kArchitectures = {"LlamaForCausalLM"};

model::ModelConfig read_config(const io::Json& config) {
    model::ModelConfig model = read_common_fields(config);
    model.family = "llama";
    model.attention_bias = bool_or(config, "attention_bias", false);
    model.mlp_bias = bool_or(config, "mlp_bias", false);
    return model;
}

std::string_view block_of(model::LinearRole role) {
    const bool in_attention = role == model::LinearRole::Q || role == model::LinearRole::K ||
                              role == model::LinearRole::V || role == model::LinearRole::O;
    return in_attention ? "self_attn" : "mlp";
}

}  // namespace

TensorSlice llama_linear(const model::LinearId& id, const model::ModelConfig&) {
    QUAROT_CHECK(id.expert < 0, "no experts here");
    const std::string_view name = rule_of(id.role).name;
    if (id.role == model::LinearRole::LmHead) return {std::string(name)};
    return {fmt::format("model.layers.{}.{}.{}", id.layer, block_of(id.role), name)};
}

std::string llama_norm(model::NormRole role, int64_t layer) {
    QUAROT_CHECK(role != model::NormRole::None);
    if (role == model::NormRole::Final) return "model.norm.weight";
    return fmt::format(
        "model.layers.{}.{}.weight", layer,
        role == model::NormRole::Attention ? "input_layernorm" : "post_attention_layernorm");
}

constinit const Family kLlamaFamily = {.name = "llama",
                                       .architectures = kArchitectures,
                                       .read_config = read_config,
                                       .linear = llama_linear,
                                       .norm = llama_norm,
                                       .embedding = kLlamaEmbedding};

}  // namespace quarot::folder
