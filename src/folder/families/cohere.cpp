// Cohere's Command R and Aya: LayerNorm without a bias, attention and MLP side by side behind one
// norm, RoPE on neighbouring values, logits times a constant.
#include "core/error.h"
#include "folder/families/config_fields.h"
#include "folder/families/family.h"
#include "folder/families/gguf_fields.h"

namespace quarot::folder {

namespace {

using model::NormRole;

constexpr std::array<std::string_view, 1> kArchitectures = {"CohereForCausalLM"};
constexpr RealRange kLogitScale = {1e-6, 1e6};
constexpr double kLogitScaleAbsent = 0.0625;

// A null would be a factor of 0.
double required_scale(const io::Json& config) {
    return config.contains("logit_scale") ? required_real(config, "logit_scale", kLogitScale)
                                          : kLogitScaleAbsent;
}

model::ModelConfig read_config(const io::Json& config) {
    model::ModelConfig model = read_common_fields(config, {.norm_eps = "layer_norm_eps",
                                                           .default_norm_eps = 1e-5,
                                                           .tied = true,
                                                           .default_theta = 500000.0});
    model.family = "cohere";
    if (bool_or(config, "use_qk_norm", false)) {
        fail(ErrorCode::Unsupported,
             "{} is true (Command R+), and this version has no norms of single heads",
             config.at("use_qk_norm").place());
    }
    model.norm = model::NormKind::Layer;
    model.parallel = true;
    model.norms = {NormRole::AttentionIn, NormRole::Final};
    model.ropes.front().pairs = model::RopePairs::Neighbours;
    model.logit_scale = required_scale(config);
    if (bool_or(config, "attention_bias", false)) model.bias = kAttentionLinears;
    return model;
}

void add_gguf_fields(const io::GgufFile& file, io::Json& config) {
    const GgufFields fields(file);
    config.set("logit_scale", fields.real("logit_scale"));
    config.set("use_qk_norm", fields.holds("blk.0.attn_q_norm.weight"));
    config.set("attention_bias", fields.holds("blk.0.attn_q.bias"));
}

}  // namespace

extern constinit const Family kCohereFamily = {
    .name = "cohere",
    .architectures = kArchitectures,
    .read_config = read_config,
    .gguf = {.architecture = "command-r", .add_fields = add_gguf_fields}};

}  // namespace quarot::folder
