// Mistral with full attention: never a bias, and a window that must not bite.
#include "folder/families/config_fields.h"
#include "folder/families/family.h"

namespace quarot::folder {

namespace {

constexpr std::array<std::string_view, 1> kArchitectures = {"MistralForCausalLM"};
constexpr int64_t kDefaultWindow = 4096;  // of a config.json that has no such key

model::ModelConfig read_config(const io::Json& config) {
    model::ModelConfig model = read_common_fields(config);
    model.family = "mistral";
    check_window(config, "sliding_window", kDefaultWindow, model);
    return model;
}

}  // namespace

extern constinit const Family kMistralFamily = {
    .name = "mistral", .architectures = kArchitectures, .read_config = read_config};

}  // namespace quarot::folder
