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

// What a rank needs on a backend.
class Rank {
  public:
    Rank(const SourceModel& source, const Recipe& recipe, const model::Shard& shard,
         const kernels::Backend& backend)
        : source_(source), recipe_(recipe), shard_(shard), backend_(backend) {}

    // Its part of a linear, in its column blocks.
    int64_t bytes(const LinearId& id) const {
        const model::ModelConfig& config = source_.config();
        const Cut cut = cut_of(id.role, config, shard_);
        const int64_t rows = out_features(id, config) / (cut == Cut::Rows ? shard_.size : 1);
        const int64_t inputs = in_features(id, config) / (cut == Cut::Columns ? shard_.size : 1);
        if (source_.is_dense(id)) return rows * inputs * size_of(source_.dense_dtype(id));
        const int64_t cols = inputs - n_outliers(recipe_, id.role, config);
        const int64_t block = column_block(recipe_, config, id.role);
        const int64_t width = block == 0 ? cols : block;
        return cols / width * backend_.codes_bytes(codes_form(recipe_, id.role, rows, width)) +
               split_bytes(id.role, rows);
    }

    // A tied head is a matrix of its own where a rank has some rows of it, and where the backend
    // widens the embedding's codes.
    int64_t embedding_and_head_bytes() const {
        constexpr LinearId kHead = {LinearRole::LmHead}, kEmbedding = {LinearRole::Embedding};
        const model::ModelConfig& config = source_.config();
        const int64_t head = bytes(kHead);
        if (!source_.is_dense(kEmbedding) && !backend_.traits().embeds_codes) {
            return config.vocab * config.hidden * size_of(DType::F32) + head;
        }
        const bool shared =
            config.tied_embeddings && cut_of(kHead.role, config, shard_) == Cut::None;
        return bytes(kEmbedding) + (shared ? 0 : head);
    }

  private:
    // Of columns kept apart and of the order of all; 0 if the linear has none.
    int64_t split_bytes(LinearRole role, int64_t rows) const {
        const model::ModelConfig& config = source_.config();
        if (!has_column_order(recipe_, role)) return 0;
        const int64_t order = in_features(role, config) * size_of(DType::I32);
        const int64_t apart = n_outliers(recipe_, role, config);
        const int bits = outlier_weight_format(recipe_).bits;
        if (bits == 16) return order + rows * apart * size_of(DType::F16);
        return order + backend_.codes_bytes({.rows = rows, .cols = apart, .bits = bits});
    }

    const SourceModel& source_;
    const Recipe& recipe_;
    const model::Shard& shard_;
    const kernels::Backend& backend_;
};

}  // namespace

// The sizes of weights belong to tensors that are in files, so their sum cannot overflow.
int64_t weight_bytes(const SourceModel& source, const Recipe& recipe, const model::Shard& shard,
                     const kernels::Backend& backend) {
    const Rank rank(source, recipe, shard, backend);
    int64_t bytes = rank.embedding_and_head_bytes();
    if (source.config().learned_positions > 0) bytes += rank.bytes({LinearRole::Positions});
    for (const LinearId& id : linears_of(source.config())) bytes += rank.bytes(id);
    return bytes;
}

MemoryNeed memory_need(const SourceModel& source, const Recipe& recipe, int64_t n_positions,
                       const model::Shard& shard, const kernels::Backend& backend) {
    model::Weights frame;
    frame.config = local_config(source.config(), shard);
    frame.recipe = recipe;
    const int64_t weights = weight_bytes(source, recipe, shard, backend);
    const int64_t rope_tables = std::ssize(frame.config.ropes) * n_positions *
                                frame.config.head_dim / 2 * size_of(DType::F32);
    const kernels::KvDescriptor kv = frame.kv_descriptor();
    return {.weights = weights + 2 * rope_tables,  // cosines and sines
            .kv_cache = backend.kv_bytes(kv, ceil_div(n_positions, kv.page_tokens))
                            .value_or(std::numeric_limits<int64_t>::max())};
}

}  // namespace quarot::folder
