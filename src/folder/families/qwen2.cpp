// Qwen 2 and 2.5: biases on q, k and v alone, and windows in late layers if at all.
#include "folder/families/config_fields.h"
#include "folder/families/family.h"

namespace quarot::folder {

namespace {

constexpr std::array<std::string_view, 1> kArchitectures = {"Qwen2ForCausalLM"};

model::ModelConfig read_config(const io::Json& config) {
    model::ModelConfig model = read_common_fields(config);
    model.family = "qwen2";
    model.bias = {model::LinearRole::Q, model::LinearRole::K, model::LinearRole::V};
    read_windows_of_late_layers(config, model);
    return model;
}

}  // namespace

extern constinit const Family kQwen2Family = {.name = "qwen2",
                                              .architectures = kArchitectures,
                                              .read_config = read_config,
                                              .gguf = {.architecture = "qwen2"}};

}  // namespace quarot::folder
