// Mixtral: Mistral with a mixture of experts in every layer, and a window in all layers or in none.
#include <fmt/format.h>

#include "folder/families/config_fields.h"
#include "folder/families/family.h"
#include "folder/families/gguf_fields.h"
#include "folder/families/mixture_fields.h"

namespace quarot::folder {

namespace {

using model::LinearRole;

constexpr std::array<std::string_view, 1> kArchitectures = {"MixtralForCausalLM"};

model::ModelConfig read_config(const io::Json& config) {
    model::ModelConfig model = read_common_fields(config);
    model.family = "mixtral";
    model.mixture = read_mixture(config, "intermediate_size");
    model.layers.resize(static_cast<size_t>(model.n_layers));
    for (model::LayerConfig& layer : model.layers) layer.mixture = true;
    check_expert_count(config, model);
    read_window_of_all_layers(config, 0, model);
    return model;
}

std::string_view name_in_expert(LinearRole role) {
    if (role == LinearRole::Gate) return "w1";
    return role == LinearRole::Down ? "w2" : "w3";
}

TensorSlice linear(const model::LinearId& id, const model::ModelConfig& config) {
    const std::string block = fmt::format("model.layers.{}.block_sparse_moe.", id.layer);
    if (id.role == LinearRole::Router) return {.name = block + "gate"};
    if (id.expert < 0) return whole_tensor(id, config);
    return {.name = fmt::format("{}experts.{}.{}", block, id.expert, name_in_expert(id.role))};
}

void add_gguf_fields(const io::GgufFile& file, io::Json& config) {
    add_gguf_experts(file, config);
    add_gguf_window(file, config);
}

}  // namespace

extern constinit const Family kMixtralFamily = {.name = "mixtral",
                                                .architectures = kArchitectures,
                                                .read_config = read_config,
                                                .linear = linear,
                                                .gguf = {.architecture = "llama",
                                                         .holds = has_gguf_experts,
                                                         .add_fields = add_gguf_fields,
                                                         .rows_in_pairs = true,
                                                         .has_experts = true}};

}  // namespace quarot::folder
