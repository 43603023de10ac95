#include "bench/shapes.h"

#include "core/error.h"

namespace quarot::bench {

namespace {

using model::LinearRole;
using model::ModelConfig;
using model::RopeType;

struct Shape {
    const char* name;
    int64_t hidden, ffn, n_layers, n_heads, n_kv_heads, head_dim, vocab, max_positions;
    double theta = 10000.0;
    double llama3_factor = 0.0;  // of RoPE; 0: none
    double rms_eps = 1e-5;
    bool tied = false;
    bool qkv_bias = false;
};

constexpr Shape kShapes[] = {
    {"smollm2-135m", 576, 1536, 30, 9, 3, 64, 49152, 8192, 1e5, 0.0, 1e-5, true},
    {"qwen2.5-0.5b", 896, 4864, 24, 14, 2, 64, 151936, 32768, 1e6, 0.0, 1e-6, true, true},
    {"tinyllama-1.1b", 2048, 5632, 22, 32, 4, 64, 32000, 2048},
    {"llama-3.2-1b", 2048, 8192, 16, 32, 8, 64, 128256, 131072, 5e5, 32.0, 1e-5, true},
    {"llama-2-7b", 4096, 11008, 32, 32, 32, 128, 32000, 4096},
    {"llama-3-8b", 4096, 14336, 32, 32, 8, 128, 128256, 8192, 5e5},
    {"llama-2-13b", 5120, 13824, 40, 40, 40, 128, 32000, 4096},
    {"llama-2-70b", 8192, 28672, 80, 64, 8, 128, 32000, 4096},
};

ModelConfig config_of(const Shape& shape) {
    ModelConfig config;
    config.hidden = shape.hidden;
    config.ffn = shape.ffn;
    config.n_layers = shape.n_layers;
    config.n_heads = shape.n_heads;
    config.n_kv_heads = shape.n_kv_heads;
    config.head_dim = shape.head_dim;
    config.vocab = shape.vocab;
    config.max_positions = shape.max_positions;
    config.ropes[0].theta = shape.theta;
    if (shape.llama3_factor > 0.0) {
        config.ropes[0].type = RopeType::Llama3;
        config.ropes[0].factor = shape.llama3_factor;
    }
    config.norm_eps = shape.rms_eps;
    config.tied_embeddings = shape.tied;
    if (shape.qkv_bias) config.bias = {LinearRole::Q, LinearRole::K, LinearRole::V};
    return config;
}

}  // namespace

std::vector<std::string> shape_names() {
    std::vector<std::string> names;
    for (const Shape& shape : kShapes) names.emplace_back(shape.name);
    return names;
}

ModelConfig shape_of(const std::string& name) {
    for (const Shape& shape : kShapes) {
        if (name == shape.name) return config_of(shape);
    }
    std::string known;
    for (const std::string& other : shape_names()) known += (known.empty() ? "" : ", ") + other;
    fail(ErrorCode::Usage, "there is no shape {}, expected one of {}", name, known);
}

}  // namespace quarot::bench
