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

bool has_no_window(const io::GgufMetadata& metadata) {
    return !has_gguf_window(metadata);
}

void add_biases(const io::GgufFile& file, io::Json& config) {
    config.set("attention_bias", file.tensors().contains("blk.0.attn_q.bias"));
    config.set("mlp_bias", file.tensors().contains("blk.0.ffn_up.bias"));
}

}  // namespace

extern constinit const Family kLlamaFamily = {.name = "llama",
                                              .architectures = kArchitectures,
                                              .read_config = read_config,
                                              .gguf = {.architecture = "llama",
                                                       .holds = has_no_window,
                                                       .add_fields = add_biases,
                                                       .rows_in_pairs = true}};

}  // namespace quarot::folder
