// Mistral: never a bias, and a window in all layers or in none.
#include "folder/families/config_fields.h"
#include "folder/families/family.h"
#include "folder/families/gguf_fields.h"

namespace quarot::folder {

namespace {

constexpr std::array<std::string_view, 1> kArchitectures = {"MistralForCausalLM"};
constexpr int64_t kDefaultWindow = 4096;  // of a config.json that has no such key

model::ModelConfig read_config(const io::Json& config) {
    model::ModelConfig model = read_common_fields(config);
    model.family = "mistral";
    read_window_of_all_layers(config, kDefaultWindow, model);
    return model;
}

bool has_window_and_no_experts(const io::GgufMetadata& metadata) {
    return has_gguf_window(metadata) && !has_gguf_experts(metadata);
}

}  // namespace

extern constinit const Family kMistralFamily = {.name = "mistral",
                                                .architectures = kArchitectures,
                                                .read_config = read_config,
                                                .gguf = {.architecture = "llama",
                                                         .holds = has_window_and_no_experts,
                                                         .add_fields = add_gguf_window,
                                                         .rows_in_pairs = true}};

}  // namespace quarot::folder
