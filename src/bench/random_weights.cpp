#include "bench/random_weights.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <optional>
#include <random>
#include <utility>
#include <vector>

#include "core/check.h"
#include "core/checked_math.h"
#include "core/error.h"
#include "core/process.h"
#include "core/progress.h"
#include "model/role_formats.h"
#include "tensor/float_convert.h"
#include "tensor/quantized_matrix.h"

namespace quarot::bench {

namespace {

using model::LinearRole;
using model::ModelConfig;

DType dense_dtype(const Recipe& recipe) {
    return recipe.storage.value_or(DType::BF16);
}

kernels::CodesForm form_of(const model::LinearId& id, const ModelConfig& config,
                           const Recipe& recipe) {
    return codes_form(recipe, id.role, out_features(id, config), in_features(id, config));
}

int64_t held_bytes(const model::LinearId& id, const ModelConfig& config, const Recipe& recipe,
                   const kernels::Backend& backend) {
    if (weight_bits(recipe, id.role) == 16) return linear_bytes(id, config, recipe);
    return backend.codes_bytes(form_of(id, config, recipe));
}

int64_t layers_bytes(const ModelConfig& config, const Recipe& recipe,
                     const kernels::Backend& backend) {
    int64_t bytes = 0;
    for (const model::LinearId& id : linears_of(config)) {
        bytes += held_bytes(id, config, recipe, backend);
    }
    return bytes;
}

// What quantizing makes of the model: the means of LayerNorm and its biases are in the weights.
ModelConfig as_made(const ModelConfig& source, const Recipe& recipe) {
    ModelConfig made = folded_config(source, recipe);
    made.tied_embeddings = stays_tied(recipe, source);
    return made;
}

int64_t tables_and_head_bytes(const ModelConfig& config, const Recipe& recipe,
                              const kernels::Backend& backend) {
    const auto bytes = [&](LinearRole role) { return held_bytes(role, config, recipe, backend); };
    const bool embeds_codes = recipe.embedding_bits == 16 || backend.traits().embeds_codes;
    const int64_t embedding = embeds_codes ? bytes(LinearRole::Embedding)
                                           : config.vocab * config.hidden * size_of(DType::F32);
    const bool is_shared = embeds_codes && stays_tied(recipe, config);
    return embedding + (config.learned_positions == 0 ? 0 : bytes(LinearRole::Positions)) +
           (is_shared ? 0 : bytes(LinearRole::LmHead));
}

// Sign and fraction bits are random, the exponent is that of 2^-6.
struct FloatPattern {
    uint64_t random;
    uint64_t exponent;
};

FloatPattern pattern_of(DType dtype) {
    switch (dtype) {
        case DType::F32:
            return {0x807fffff'807fffff, 0x3c800000'3c800000};
        case DType::BF16:
            return {0x807f807f'807f807f, 0x3c803c80'3c803c80};
        case DType::F16:
            return {0x83ff83ff'83ff83ff, 0x24002400'24002400};
        default:
            break;
    }
    QUAROT_CHECK(false, "{}", name_of(dtype));
    return {};
}

class Maker {
  public:
    // config: of the rank.
    Maker(const ModelConfig& config, const Recipe& recipe, uint64_t seed, const model::Shard& shard,
          kernels::Backend& backend)
        : config_(config), recipe_(recipe), random_(seed), shard_(shard), backend_(backend) {}

    void make_embedding_and_head(model::Weights& weights) {
        if (config_.learned_positions > 0) {
            weights.positions = backend_.prepare_embedding(linear(LinearRole::Positions).matrix);
        }
        const bool has_all = cut_of(LinearRole::LmHead, config_, shard_) == model::Cut::None;
        if (stays_tied(recipe_, config_) && has_all) {
            kernels::TiedMatrix tied = backend_.prepare_tied(linear(LinearRole::Embedding));
            weights.embedding = std::move(tied.embedding);
            weights.lm_head = std::move(tied.linear);
            return;
        }
        weights.embedding = backend_.prepare_embedding(linear(LinearRole::Embedding).matrix);
        weights.lm_head = backend_.prepare_linear(linear(LinearRole::LmHead));
    }

    void make_layer(int64_t layer, model::Weights& weights) {
        model::LayerWeights& made = weights.layers.emplace_back();
        for (const model::NormRole role : norms_of(config_, layer)) {
            made.norms[static_cast<size_t>(role)] = norm(role);
        }
        for (const model::LinearId& id : linears_of(config_, layer)) {
            weights.set_linear(id, linear(id), backend_);
        }
    }

    // No gain where it is folded; else one that a backend has to multiply by.
    model::NormWeights norm(model::NormRole role) {
        const bool folded = folds(recipe_, config_, role);
        const std::vector<float> values(static_cast<size_t>(width_of(role, config_)),
                                        folded ? 1.0f : 0.5f);
        std::vector<float> bias;
        if (has_bias(role, config_)) bias.assign(values.size(), 0.125f);
        return model::upload_norm(values, bias, backend_);
    }

  private:
    kernels::LinearWeights linear(const model::LinearId& id) {
        const LinearRole role = id.role;
        const bool is_part_of_head =
            role == LinearRole::LmHead && cut_of(role, config_, shard_) == model::Cut::Rows;
        const int64_t out = out_features(id, config_) / (is_part_of_head ? shard_.size : 1);
        const int64_t in = in_features(id, config_);
        kernels::LinearWeights weights;
        if (weight_bits(recipe_, role) == 16) {
            weights.matrix = dense(out, in);
        } else {
            weights.matrix = codes(out, in, weight_format(recipe_, role));
        }
        if (has_bias(role, config_)) weights.bias.assign(static_cast<size_t>(out), 0.125f);
        return weights;
    }

    std::shared_ptr<const Tensor> dense(int64_t rows, int64_t cols) {
        const DType dtype = dense_dtype(recipe_);
        const FloatPattern pattern = pattern_of(dtype);
        auto tensor = std::make_shared<Tensor>(dtype, Shape{rows, cols});
        fill(*tensor, pattern.random, pattern.exponent);
        return tensor;
    }

    // Scales give outputs about the size of the inputs.
    QuantizedMatrix codes(int64_t rows, int64_t cols, const WeightFormat& format) {
        QuantizedMatrix matrix =
            make_quantized_matrix(rows, cols, format.bits, format.group_size, format.symmetric);
        fill(matrix.packed, ~uint64_t{0}, 0);
        const double code_rms = std::ldexp(1.0, format.bits) / std::sqrt(12.0);
        const auto scale =
            static_cast<float>(1.0 / (code_rms * std::sqrt(static_cast<double>(cols))));
        const auto n_scales = static_cast<size_t>(rows * matrix.n_groups());
        narrow(matrix.scales.dtype(), std::vector<float>(n_scales, scale), matrix.scales.data());
        if (!format.symmetric) {
            std::fill_n(matrix.zero_points.as<uint8_t>(), n_scales,
                        static_cast<uint8_t>(1 << (format.bits - 1)));
        }
        return matrix;
    }

    // Every 8 bytes are random bits where `random` has ones, and those of `fixed`.
    void fill(Tensor& tensor, uint64_t random, uint64_t fixed) {
        for (int64_t at = 0; at < tensor.bytes(); at += 8) {
            const uint64_t word = (random_() & random) | fixed;
            const auto n = static_cast<size_t>(std::min<int64_t>(8, tensor.bytes() - at));
            std::memcpy(tensor.data() + at, &word, n);
        }
    }

    const ModelConfig& config_;
    const Recipe& recipe_;
    std::mt19937_64 random_;
    const model::Shard& shard_;
    kernels::Backend& backend_;
};

}  // namespace

int64_t linear_bytes(const model::LinearId& id, const ModelConfig& config, const Recipe& recipe) {
    if (weight_bits(recipe, id.role) < 16) {
        return kernels::container_bytes(form_of(id, config, recipe));
    }
    return out_features(id, config) * in_features(id, config) * size_of(dense_dtype(recipe));
}

MemoryNeed memory_need(const ModelConfig& source, const Recipe& recipe, const CacheSize& cache,
                       const kernels::Backend& backend) {
    const ModelConfig config = as_made(source, recipe);
    model::Weights frame;
    frame.config = config;
    frame.recipe = recipe;
    const kernels::KvDescriptor kv = frame.kv_descriptor(cache.n_sequences);
    const int64_t rope_tables =
        std::ssize(config.ropes) * cache.n_positions * config.head_dim / 2 * size_of(DType::F32);
    return {.weights = tables_and_head_bytes(config, recipe, backend) +
                       layers_bytes(config, recipe, backend) +
                       2 * rope_tables,  // cosines and sines
            .kv_cache = backend.kv_bytes(kv, cache.n_tokens / kv.page_tokens)
                            .value_or(std::numeric_limits<int64_t>::max())};
}

int64_t fitting_layers(ModelConfig config, const Recipe& recipe, const CacheSize& cache,
                       const kernels::Backend& backend, int64_t available) {
    while (config.n_layers > 0) {
        const MemoryNeed need = memory_need(config, recipe, cache, backend);
        const auto bytes = checked_add(need.weights, need.kv_cache);
        if (bytes && *bytes <= available) break;
        --config.n_layers;
    }
    return config.n_layers;
}

model::Weights random_weights(const ModelConfig& whole, const Recipe& recipe, int64_t n_positions,
                              const std::string& name, uint64_t seed, kernels::Backend& backend,
                              const model::Shard& shard) {
    if (recipe.outliers.enabled()) {
        fail(ErrorCode::Unsupported,
             "recipe {} keeps columns apart, which random weights do not have in this version",
             recipe.name);
    }
    model::check_groups(recipe, whole);
    check_shard(recipe, whole, shard, name);
    const ModelConfig config = as_made(local_config(whole, shard), recipe);
    model::Weights weights = weights_frame(config, recipe, name, n_positions, backend);
    weights.shard = shard;
    Maker maker(config, recipe, seed + static_cast<uint64_t>(shard.rank), shard, backend);
    std::optional<Progress> progress;  // of one rank for all
    if (shard.rank == 0) progress.emplace("making random weights", config.n_layers + 1);
    const auto step = [&] {
        if (progress) progress->advance();
        throw_if_interrupted();
    };
    maker.make_embedding_and_head(weights);
    step();
    for (int64_t layer = 0; layer < config.n_layers; ++layer) {
        maker.make_layer(layer, weights);
        step();
    }
    weights.final_norm = maker.norm(model::NormRole::Final);
    return weights;
}

}  // namespace quarot::bench
