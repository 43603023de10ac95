// Phi-3, 3.5, 4 and 4-mini: q, k and v in one tensor, gate and up in another, and a window in all
// layers or in none.
#include <fmt/format.h>

#include "folder/families/config_fields.h"
#include "folder/families/family.h"
#include "folder/families/gguf_fields.h"

namespace quarot::folder {

namespace {

using model::LinearRole;

constexpr std::array<std::string_view, 1> kArchitectures = {"Phi3ForCausalLM"};

model::ModelConfig read_config(const io::Json& config) {
    model::ModelConfig model = read_common_fields(config);
    model.family = "phi3";
    read_window_of_all_layers(config, 0, model);
    return model;
}

TensorSlice linear(const model::LinearId& id, const model::ModelConfig& config) {
    const std::string layer = fmt::format("model.layers.{}.", id.layer);
    const std::string qkv = layer + "self_attn.qkv_proj", gate_up = layer + "mlp.gate_up_proj";
    switch (id.role) {
        case LinearRole::Q:
            return {.name = qkv};
        case LinearRole::K:
            return {.name = qkv, .first_row = config.q_dim()};
        case LinearRole::V:
            return {.name = qkv, .first_row = config.q_dim() + config.kv_dim()};
        case LinearRole::Gate:
            return {.name = gate_up};
        case LinearRole::Up:
            return {.name = gate_up, .first_row = config.ffn};
        case LinearRole::O:
        case LinearRole::Down:
        case LinearRole::Router:
        case LinearRole::LmHead:
        case LinearRole::Embedding:
        case LinearRole::Positions:
            break;
    }
    return whole_tensor(id, config);
}

void add_gguf_fields(const io::GgufFile& file, io::Json& config) {
    add_gguf_window(file, config);
    add_gguf_longrope(file, config);
}

}  // namespace

extern constinit const Family kPhi3Family = {
    .name = "phi3",
    .architectures = kArchitectures,
    .read_config = read_config,
    .linear = linear,
    .gguf = {.architecture = "phi3", .add_fields = add_gguf_fields}};

}  // namespace quarot::folder
