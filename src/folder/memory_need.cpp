#include "folder/memory_need.h"

#include <limits>

#include "core/checked_math.h"
#include "model/role_formats.h"
#include "model/weights.h"

namespace quarot::folder {

namespace {

using model::Cut;
using model::LinearId;
using model::LinearRole;

// Of columns kept apart and of the order of all; 0 if the linear has none.
int64_t split_bytes(const Recipe& recipe, LinearRole role, int64_t rows,
                    const model::ModelConfig& config) {
    if (!has_column_order(recipe, role)) return 0;
    const int64_t order = in_features(role, config) * size_of(DType::I32);
    const int64_t apart = n_outliers(recipe, role, config);
    const WeightFormat format = outlier_weight_format(recipe);
    if (format.bits == 16) return order + rows * apart * size_of(DType::F16);
    return order + model::codes_bytes(rows, apart, format);
}

// A rank's part of a linear, in its column blocks.
int64_t linear_bytes(const SourceModel& source, const LinearId& id, const model::Shard& shard) {
    const model::ModelConfig& config = source.config();
    const Recipe& recipe = source.recipe();
    const Cut cut = cut_of(id.role, config, shard);
    const int64_t rows = out_features(id, config) / (cut == Cut::Rows ? shard.size : 1);
    const int64_t inputs = in_features(id, config) / (cut == Cut::Columns ? shard.size : 1);
    if (source.is_dense(id)) return rows * inputs * size_of(source.dense_dtype(id));
    const int64_t cols = inputs - n_outliers(recipe, id.role, config);
    const int64_t block = column_block(recipe, config, id.role);
    const int64_t width = block == 0 ? cols : block;
    return cols / width * model::codes_bytes(rows, width, weight_format(recipe, id.role)) +
           split_bytes(recipe, id.role, rows, config);
}

// A tied head is a matrix of its own where a rank has some rows of it, and where the backend widens
// the embedding's codes.
int64_t embedding_and_head_bytes(const SourceModel& source, const model::Shard& shard,
                                 const kernels::BackendTraits& traits) {
    constexpr LinearId kHead = {LinearRole::LmHead}, kEmbedding = {LinearRole::Embedding};
    const model::ModelConfig& config = source.config();
    const int64_t head = linear_bytes(source, kHead, shard);
    if (!source.is_dense(kEmbedding) && !traits.embeds_codes) {
        return config.vocab * config.hidden * size_of(DType::F32) + head;
    }
    const bool shared = config.tied_embeddings && cut_of(kHead.role, config, shard) == Cut::None;
    return linear_bytes(source, kEmbedding, shard) + (shared ? 0 : head);
}

}  // namespace

// The sizes of weights belong to tensors that are in files, so their sum cannot overflow.
int64_t weight_bytes(const SourceModel& source, const model::Shard& shard,
                     const kernels::BackendTraits& traits) {
    int64_t bytes = embedding_and_head_bytes(source, shard, traits);
    if (source.config().learned_positions > 0) {
        bytes += linear_bytes(source, {LinearRole::Positions}, shard);
    }
    for (const LinearId& id : linears_of(source.config())) bytes += linear_bytes(source, id, shard);
    return bytes;
}

MemoryNeed memory_need(const SourceModel& source, const Recipe& recipe, int64_t n_positions,
                       const model::Shard& shard, const kernels::Backend& backend) {
    model::Weights frame;
    frame.config = local_config(source.config(), shard);
    frame.recipe = recipe;
    const int64_t weights = weight_bytes(source, shard, backend.traits());
    const int64_t rope_tables = std::ssize(frame.config.ropes) * n_positions *
                                frame.config.head_dim / 2 * size_of(DType::F32);
    const kernels::KvDescriptor kv = frame.kv_descriptor();
    return {.weights = weights + 2 * rope_tables,  // cosines and sines
            .kv_cache = backend.kv_bytes(kv, ceil_div(n_positions, kv.page_tokens))
                            .value_or(std::numeric_limits<int64_t>::max())};
}

}  // namespace quarot::folder
