// StableLM: a Llama with LayerNorm and RoPE on a part of each head; in StableLM 2 12B attention and
// MLP are side by side.
#include "core/error.h"
#include "folder/families/config_fields.h"
#include "folder/families/family.h"
#include "folder/families/gguf_fields.h"

namespace quarot::folder {

namespace {

using model::LinearRole;
using model::NormRole;

constexpr std::array<std::string_view, 1> kArchitectures = {"StableLmForCausalLM"};

model::ModelConfig read_config(const io::Json& config) {
    model::ModelConfig model = read_common_fields(
        config,
        {.norm_eps = "layer_norm_eps", .default_norm_eps = 1e-5, .default_rotary_part = 0.25});
    model.family = "stablelm";
    if (bool_or(config, "qk_layernorm", false)) {
        fail(ErrorCode::Unsupported,
             "{} is true (StableLM 2 12B), and this version has no norms of single heads",
             config.at("qk_layernorm").place());
    }
    model.norm = model::NormKind::Layer;
    model.norm_bias = true;
    model.parallel = bool_or(config, "use_parallel_residual", false);
    if (model.parallel) model.norms = {NormRole::AttentionIn, NormRole::Final};
    if (bool_or(config, "use_qkv_bias", false)) {
        model.bias = {LinearRole::Q, LinearRole::K, LinearRole::V};
    }
    return model;
}

// What follows from the tensors: the flag for parallel blocks is true in files without them.
void add_gguf_fields(const io::GgufFile& file, io::Json& config) {
    const GgufFields fields(file);
    config.set("use_parallel_residual", !fields.holds("blk.0.ffn_norm.weight"));
    config.set("qk_layernorm", fields.holds("blk.0.attn_q_norm.weight"));
    config.set("use_qkv_bias", fields.holds("blk.0.attn_q.bias"));
}

}  // namespace

extern constinit const Family kStablelmFamily = {
    .name = "stablelm",
    .architectures = kArchitectures,
    .read_config = read_config,
    .gguf = {.architecture = "stablelm", .add_fields = add_gguf_fields}};

}  // namespace quarot::folder
