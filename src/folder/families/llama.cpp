// Llama 1 to 3.2 and the models built like them (SmolLM2, TinyLlama).
#include "folder/families/config_fields.h"
#include "folder/families/family.h"
#include "folder/families/gguf_fields.h"

namespace quarot::folder {

namespace {

constexpr std::array<std::string_view, 1> kArchitectures = {"LlamaForCausalLM"};

model::ModelConfig read_config(const io::Json& config) {
    model::ModelConfig model = read_common_fields(config);
    model.family = "llama";
    model.bias = read_biases(config);
    return model;
}

bool has_neither_window_nor_experts(const io::GgufMetadata& metadata) {
    return !has_gguf_window(metadata) && !has_gguf_experts(metadata);
}

}  // namespace

extern constinit const Family kLlamaFamily = {.name = "llama",
                                              .architectures = kArchitectures,
                                              .read_config = read_config,
                                              .gguf = {.architecture = "llama",
                                                       .holds = has_neither_window_nor_experts,
                                                       .add_fields = add_gguf_biases,
                                                       .rows_in_pairs = true}};

}  // namespace quarot::folder
