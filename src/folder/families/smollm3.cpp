// SmolLM3: as Llama, but for layers without RoPE.
#include <utility>
#include <vector>

#include "core/error.h"
#include "folder/families/config_fields.h"
#include "folder/families/family.h"
#include "folder/families/gguf_fields.h"

namespace quarot::folder {

namespace {

constexpr std::array<std::string_view, 1> kArchitectures = {"SmolLM3ForCausalLM"};
constexpr int64_t kAbsentInterval = 4;

// "no_rope_layers", in which 1 stands for a layer that has RoPE, or all but every n-th.
std::vector<bool> read_rope_layers(const io::Json& config, int64_t n_layers) {
    const int64_t interval = int_or(config, "no_rope_layer_interval", {1, 1024}, kAbsentInterval);
    std::vector<bool> has_rope(static_cast<size_t>(n_layers), true);
    for (int64_t layer = interval; layer <= n_layers; layer += interval) {
        has_rope[static_cast<size_t>(layer - 1)] = false;
    }
    const io::Json* list = config.find("no_rope_layers");
    if (list == nullptr) return has_rope;
    const io::Json::Array& flags = list->as_array();
    if (std::ssize(flags) != n_layers) {
        fail(ErrorCode::Corrupt, "{} has {} entries, expected one for each of {} layers",
             list->place(), flags.size(), n_layers);
    }
    for (size_t layer = 0; layer < flags.size(); ++layer) {
        has_rope[layer] = flags[layer].as_int(0, 1) == 1;
    }
    return has_rope;
}

model::ModelConfig read_config(const io::Json& config) {
    io::Json whole = completed(config, {{"tie_word_embeddings", true}});
    if (config.find("rope_parameters") == nullptr) whole = completed(whole, {{"rope_theta", 2e6}});
    model::ModelConfig model = read_common_fields(whole);
    model.family = "smollm3";
    model.bias = read_biases(config);
    const std::vector<bool> has_rope = read_rope_layers(config, model.n_layers);
    model.layers.resize(has_rope.size());
    for (size_t layer = 0; layer < has_rope.size(); ++layer) {
        model.layers[layer].rope = has_rope[layer] ? 0 : -1;
    }
    if (!bool_or(config, "use_sliding_window", false)) return model;
    std::vector<bool> slides = has_rope;
    slides.flip();
    set_windows(model, read_window(config, 0, model),
                read_sliding_layers(config, std::move(slides)));
    return model;
}

}  // namespace

extern constinit const Family kSmolLm3Family = {
    .name = "smollm3",
    .architectures = kArchitectures,
    .read_config = read_config,
    .gguf = {.architecture = "smollm3", .add_fields = add_gguf_biases, .rows_in_pairs = true}};

}  // namespace quarot::folder
