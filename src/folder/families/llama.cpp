// Llama 1 to 3.2 and the models built like them (SmolLM2, TinyLlama).
#include "folder/families/config_fields.h"
#include "folder/families/family.h"

namespace quarot::folder {

namespace {

constexpr std::array<std::string_view, 1> kArchitectures = {"LlamaForCausalLM"};

model::ModelConfig read_config(const io::Json& config) {
    model::ModelConfig model = read_common_fields(config);
    model.family = "llama";
    if (bool_or(config, "attention_bias", false)) model.bias = model.bias | kAttentionLinears;
    if (bool_or(config, "mlp_bias", false)) model.bias = model.bias | kMlpLinears;
    return model;
}

}  // namespace

extern constinit const Family kLlamaFamily = {
    .name = "llama", .architectures = kArchitectures, .read_config = read_config};

}  // namespace quarot::folder
