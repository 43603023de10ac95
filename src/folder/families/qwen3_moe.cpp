// Qwen 3 with mixtures of experts: norms of each head of q and k, and layers with a dense MLP among
// those with a mixture.
#include <fmt/format.h>

#include <utility>

#include "folder/families/config_fields.h"
#include "folder/families/family.h"
#include "folder/families/gguf_fields.h"
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

// Layers without a router are dense.
void add_gguf_fields(const io::GgufFile& file, io::Json& config) {
    const GgufFields fields(file);
    add_gguf_experts(file, config);
    config.set("num_experts", config.at("num_local_experts"));  // as the hub names it
    config.set("moe_intermediate_size", fields.integer("expert_feed_forward_length"));
    config.set("norm_topk_prob", fields.find_flag("expert_weights_norm").value_or(true));
    io::Json::Array dense;
    for (int64_t layer = 0; layer < fields.n_layers(); ++layer) {
        if (!fields.holds(fmt::format("blk.{}.ffn_gate_inp.weight", layer))) {
            dense.emplace_back(layer);
        }
    }
    config.set("mlp_only_layers", std::move(dense));
}

}  // namespace

extern constinit const Family kQwen3MoeFamily = {
    .name = "qwen3_moe",
    .architectures = kArchitectures,
    .read_config = read_config,
    .gguf = {.architecture = "qwen3moe", .add_fields = add_gguf_fields, .has_experts = true}};

}  // namespace quarot::folder
