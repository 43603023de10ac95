#include "bench/shapes.h"

#include "core/error.h"

namespace quarot::bench {

namespace {

using model::LinearRole;
using model::ModelConfig;
using model::RopeType;

struct NamedShape {
    const char* name;
    ModelConfig config;
};

// Members in the order in which ModelConfig declares them; those left out have its defaults.
const std::vector<NamedShape>& shapes() {
    static const std::vector<NamedShape> kShapes = {
        {"smollm2-135m",
         {.hidden = 576,
          .ffn = 1536,
          .n_layers = 30,
          .n_heads = 9,
          .n_kv_heads = 3,
          .head_dim = 64,
          .vocab = 49152,
          .max_positions = 8192,
          .rope = {.theta = 100000.0},
          .tied_embeddings = true}},
        {"qwen2.5-0.5b",
         {.hidden = 896,
          .ffn = 4864,
          .n_layers = 24,
          .n_heads = 14,
          .n_kv_heads = 2,
          .head_dim = 64,
          .vocab = 151936,
          .max_positions = 32768,
          .rms_eps = 1e-6,
          .rope = {.theta = 1000000.0},
          .tied_embeddings = true,
          .bias = {LinearRole::Q, LinearRole::K, LinearRole::V}}},
        {"tinyllama-1.1b",
         {.hidden = 2048,
          .ffn = 5632,
          .n_layers = 22,
          .n_heads = 32,
          .n_kv_heads = 4,
          .head_dim = 64,
          .vocab = 32000,
          .max_positions = 2048}},
        {"llama-3.2-1b",
         {.hidden = 2048,
          .ffn = 8192,
          .n_layers = 16,
          .n_heads = 32,
          .n_kv_heads = 8,
          .head_dim = 64,
          .vocab = 128256,
          .max_positions = 131072,
          .rope = {.type = RopeType::Llama3, .theta = 500000.0, .factor = 32.0},
          .tied_embeddings = true}},
        {"llama-2-7b",
         {.hidden = 4096,
          .ffn = 11008,
          .n_layers = 32,
          .n_heads = 32,
          .n_kv_heads = 32,
          .head_dim = 128,
          .vocab = 32000,
          .max_positions = 4096}},
        {"llama-3-8b",
         {.hidden = 4096,
          .ffn = 14336,
          .n_layers = 32,
          .n_heads = 32,
          .n_kv_heads = 8,
          .head_dim = 128,
          .vocab = 128256,
          .max_positions = 8192,
          .rope = {.theta = 500000.0}}},
        {"llama-2-13b",
         {.hidden = 5120,
          .ffn = 13824,
          .n_layers = 40,
          .n_heads = 40,
          .n_kv_heads = 40,
          .head_dim = 128,
          .vocab = 32000,
          .max_positions = 4096}},
        {"llama-2-70b",
         {.hidden = 8192,
          .ffn = 28672,
          .n_layers = 80,
          .n_heads = 64,
          .n_kv_heads = 8,
          .head_dim = 128,
          .vocab = 32000,
          .max_positions = 4096}},
    };
    return kShapes;
}

}  // namespace

std::vector<std::string> shape_names() {
    std::vector<std::string> names;
    for (const NamedShape& shape : shapes()) names.emplace_back(shape.name);
    return names;
}

ModelConfig shape_of(const std::string& name) {
    for (const NamedShape& shape : shapes()) {
        if (name == shape.name) return shape.config;
    }
    std::string known;
    for (const std::string& other : shape_names()) known += (known.empty() ? "" : ", ") + other;
    fail(ErrorCode::Usage, "there is no shape {}, expected one of {}", name, known);
}

}  // namespace quarot::bench
