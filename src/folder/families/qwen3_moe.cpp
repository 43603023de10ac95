// Qwen 3 with mixtures of experts: norms of each head of q and k, and layers with a dense MLP among
// those with a mixture.

#include "folder/families/config_fields.h"
#include "folder/families/family.h"
#include "folder/families/mixture_fields.h"

namespace quarot::folder {

namespace {

constexpr std::array<std::string_view, 1> kArchitectures = {"Qwen3MoeForCausalLM"};
constexpr int64_t kDefaultWindow = 4096;  // of a config.json that uses windows and names none

// Every n-th layer has a mixture, the n-th first, but for those that are listed as dense.
void place_mixtures(const io::Json& config, model::ModelConfig& model) {
    const int64_t step = int_or(config, "decoder_sparse_step", {1, model.n_layers}, 1);
    model.layers.resize(static_cast<size_t>(model.n_layers));
    for (int64_t layer = 0; layer < model.n_layers; ++layer) {
        model.layers[static_cast<size_t>(layer)].mixture = (layer + 1) % step == 0;
    }
    const io::Json* dense = config.find("mlp_only_layers");
    if (dense == nullptr) return;
    for (const io::Json& layer : dense->as_array()) {
        model.layers[static_cast<size_t>(layer.as_int(0, model.n_layers - 1))].mixture = false;
    }
}

model::ModelConfig read_config(const io::Json& config) {
    model::ModelConfig model = read_common_fields(config);
    model.family = "qwen3_moe";
    model.qk_norm = model::QkNormSpan::Head;
    if (bool_or(config, "attention_bias", false)) model.bias = kAttentionLinears;
    model.mixture = read_mixture(config, "moe_intermediate_size");
    model.mixture.renormalize = bool_or(config, "norm_topk_prob", false);
    place_mixtures(config, model);
    check_expert_count(config, model);
    if (bool_or(config, "use_sliding_window", false)) {
        read_window_of_all_layers(config, kDefaultWindow, model);
    }
    return model;
}

}  // namespace

extern constinit const Family kQwen3MoeFamily = {
    .name = "qwen3_moe", .architectures = kArchitectures, .read_config = read_config};

}  // namespace quarot::folder
