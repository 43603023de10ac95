// Granite 3: as Llama, but for four factors.
#include "folder/families/config_fields.h"
#include "folder/families/family.h"

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

}  // namespace

extern constinit const Family kGraniteFamily = {
    .name = "granite", .architectures = kArchitectures, .read_config = read_config};

}  // namespace quarot::folder
