// Starcoder2: LayerNorm, biases everywhere, GELU without a gate, and a window in all layers or in
// none.
#include <fmt/format.h>

#include "folder/families/config_fields.h"
#include "folder/families/family.h"
#include "folder/families/gguf_fields.h"

namespace quarot::folder {

namespace {

using model::LinearRole;

constexpr std::array<std::string_view, 1> kArchitectures = {"Starcoder2ForCausalLM"};

model::ModelConfig read_config(const io::Json& config) {
    model::ModelConfig model =
        read_common_fields(config, {.norm_eps = "norm_epsilon",
                                    .default_activation = model::Activation::GeluTanh,
                                    .default_norm_eps = 1e-5,
                                    .tied = true});
    model.family = "starcoder2";
    model.norm = model::NormKind::Layer;
    model.norm_bias = true;
    model.gated = false;
    if (bool_or(config, "use_bias", true)) {
        model.bias = kAttentionLinears | model::RoleSet{LinearRole::Up, LinearRole::Down};
    }
    read_window_of_all_layers(config, 0, model);
    return model;
}

TensorSlice linear(const model::LinearId& id, const model::ModelConfig& config) {
    const bool in_mlp = id.role == LinearRole::Up || id.role == LinearRole::Down;
    if (!in_mlp) return whole_tensor(id, config);
    return {.name = fmt::format("model.layers.{}.mlp.{}", id.layer,
                                id.role == LinearRole::Up ? "c_fc" : "c_proj")};
}

void add_gguf_fields(const io::GgufFile& file, io::Json& config) {
    const GgufFields fields(file);
    config.set("hidden_act", "gelu_pytorch_tanh");  // files do not say
    config.set("norm_epsilon", fields.real("attention.layer_norm_epsilon"));
    config.set("use_bias", fields.holds("blk.0.attn_q.bias"));
    add_gguf_window(file, config);
}

}  // namespace

extern constinit const Family kStarcoder2Family = {
    .name = "starcoder2",
    .architectures = kArchitectures,
    .read_config = read_config,
    .linear = linear,
    .gguf = {.architecture = "starcoder2", .add_fields = add_gguf_fields}};

}  // namespace quarot::folder
