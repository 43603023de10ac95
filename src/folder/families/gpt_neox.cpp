// GPT-NeoX and Pythia: LayerNorm, attention and MLP side by side, q, k and v in one tensor head by
// head, RoPE on a part of each head, GELU without a gate.
#include <fmt/format.h>

#include "folder/families/config_fields.h"
#include "folder/families/family.h"
#include "folder/families/gguf_fields.h"

namespace quarot::folder {

namespace {

using model::LinearRole;
using model::NormRole;

constexpr std::array<std::string_view, 1> kArchitectures = {"GPTNeoXForCausalLM"};
constexpr std::array<NameInPlace, 1> kOtherNames = {{{"lm_head", "embed_out"}}};

model::ModelConfig read_config(const io::Json& config) {
    model::ModelConfig model =
        read_common_fields(config, {.norm_eps = "layer_norm_eps",
                                    .default_activation = model::Activation::Gelu,
                                    .default_norm_eps = 1e-5,
                                    .default_rotary_part = 0.25});
    model.family = "gpt_neox";
    model.norm = model::NormKind::Layer;
    model.norm_bias = true;
    model.parallel = bool_or(config, "use_parallel_residual", true);
    model.gated = false;
    model.bias = {LinearRole::Up, LinearRole::Down};
    if (bool_or(config, "attention_bias", true)) model.bias = model.bias | kAttentionLinears;
    return model;
}

// Head by head its rows of q, of k and of v.
TensorSlice part_of_qkv(const std::string& layer, int64_t part, int64_t head_dim) {
    return {.name = layer + "attention.query_key_value",
            .first_row = part * head_dim,
            .block = head_dim,
            .stride = 3 * head_dim};
}

TensorSlice linear(const model::LinearId& id, const model::ModelConfig& config) {
    const std::string layer = fmt::format("gpt_neox.layers.{}.", id.layer);
    switch (id.role) {
        case LinearRole::Q:
            return part_of_qkv(layer, 0, config.head_dim);
        case LinearRole::K:
            return part_of_qkv(layer, 1, config.head_dim);
        case LinearRole::V:
            return part_of_qkv(layer, 2, config.head_dim);
        case LinearRole::O:
            return {.name = layer + "attention.dense"};
        case LinearRole::Up:
            return {.name = layer + "mlp.dense_h_to_4h"};
        case LinearRole::Down:
            return {.name = layer + "mlp.dense_4h_to_h"};
        case LinearRole::Embedding:
            return {.name = "gpt_neox.embed_in"};
        default:
            return whole_tensor(id, config);
    }
}

std::string norm(NormRole role, int64_t layer, const model::ModelConfig&) {
    if (role == NormRole::Final) return "gpt_neox.final_layer_norm";
    return fmt::format("gpt_neox.layers.{}.{}", layer,
                       role == NormRole::MlpIn ? "post_attention_layernorm" : "input_layernorm");
}

void add_gguf_fields(const io::GgufFile& file, io::Json& config) {
    const GgufFields fields(file);
    config.set("hidden_act", "gelu");  // files do not say
    config.set("use_parallel_residual", fields.find_flag("use_parallel_residual").value_or(true));
    config.set("attention_bias", fields.holds("blk.0.attn_qkv.bias"));
}

}  // namespace

extern constinit const Family kGptNeoxFamily = {
    .name = "gpt_neox",
    .architectures = kArchitectures,
    .read_config = read_config,
    .linear = linear,
    .norm = norm,
    .other_names = kOtherNames,
    .gguf = {.architecture = "gptneox", .add_fields = add_gguf_fields}};

}  // namespace quarot::folder
