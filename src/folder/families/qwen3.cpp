// Qwen 3, dense: norms of each head of q and k, and heads whose width is a number of its own.
#include "folder/families/config_fields.h"
#include "folder/families/family.h"

namespace quarot::folder {

namespace {

constexpr std::array<std::string_view, 1> kArchitectures = {"Qwen3ForCausalLM"};

model::ModelConfig read_config(const io::Json& config) {
    model::ModelConfig model = read_common_fields(config);
    model.family = "qwen3";
    model.qk_norm = model::QkNormSpan::Head;
    model.head_dim =
        config.at("head_dim").as_int();  // required; read_common_fields knows its range
    if (bool_or(config, "attention_bias", false)) model.bias = kAttentionLinears;
    read_windows_of_late_layers(config, model);
    return model;
}

}  // namespace

extern constinit const Family kQwen3Family = {.name = "qwen3",
                                              .architectures = kArchitectures,
                                              .read_config = read_config,
                                              .gguf = {.architecture = "qwen3"}};

}  // namespace quarot::folder
