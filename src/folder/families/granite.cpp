// Granite 3: as Llama, but for four factors.
#include "core/error.h"
#include "folder/families/config_fields.h"
#include "folder/families/family.h"
#include "folder/families/gguf_fields.h"

namespace quarot::folder {

namespace {

constexpr std::array<std::string_view, 1> kArchitectures = {"GraniteForCausalLM"};
constexpr RealRange kFactor = {1e-6, 1e6};

double factor(const io::Json& config, std::string_view key) {
    const io::Json* value = config.find(key);
    return value == nullptr ? 1.0 : real_in(*value, kFactor);
}

model::ModelConfig read_config(const io::Json& config) {
    model::ModelConfig model = read_common_fields(config);
    model.family = "granite";
    model.bias = read_biases(config);
    model.embed_scale = factor(config, "embedding_multiplier");
    model.score_scale = factor(config, "attention_multiplier");
    model.residual_scale = factor(config, "residual_multiplier");
    model.logit_scale = 1.0 / factor(config, "logits_scaling");
    return model;
}

void add_gguf_fields(const io::GgufFile& file, io::Json& config) {
    const GgufFields fields(file);
    add_gguf_biases(file, config);
    config.set("attention_multiplier", fields.real("attention.scale"));
    config.set("logits_scaling", fields.real("logit_scale"));
    if (const auto scale = fields.find_real("embedding_scale")) {
        config.set("embedding_multiplier", *scale);
    }
    if (const auto scale = fields.find_real("residual_scale")) {
        config.set("residual_multiplier", *scale);
    }
    constexpr std::string_view kHasRope = "rope.scaling.finetuned";
    if (fields.find_flag(kHasRope).value_or(true)) return;
    fail(ErrorCode::Unsupported,
         "{} is false (Granite 4 without positions), and this version runs Granite with RoPE",
         fields.place(kHasRope));
}

}  // namespace

extern constinit const Family kGraniteFamily = {
    .name = "granite",
    .architectures = kArchitectures,
    .read_config = read_config,
    .gguf = {.architecture = "granite", .add_fields = add_gguf_fields, .rows_in_pairs = true}};

}  // namespace quarot::folder
