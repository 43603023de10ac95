#include "runtime/rank_step.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "core/check.h"

namespace quarot::runtime {

using kernels::Rows;

namespace {

// Steps of more tokens are enqueued afresh: their work hides the calls.
constexpr int64_t kRecordedTokens = 64;

int64_t power_of_two_from(int64_t n, int64_t most) {
    return std::min(most, static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(n))));
}

}  // namespace

std::vector<RankModel> one_rank(const model::Weights& weights, kernels::Backend& backend) {
    return {{weights, backend, std::move(backend.join({}).front())}};
}

RankStep::RankStep(RankModel model, const model::StepSize& size, int64_t n_pages)
    : model_(std::move(model)),
      kv_(backend().make_kv_store(weights().kv_descriptor(size.sequences), n_pages)),
      memory_(weights(), size, backend()) {
    QUAROT_CHECK(weights().shard.size == model_.comm->size(), "{} ranks", weights().shard.size);
    QUAROT_CHECK(weights().shard.rank == model_.comm->rank(), "rank {}", weights().shard.rank);
}

std::vector<model::SequenceFailure> RankStep::run(const model::Batch& batch, LogitWork work) {
    const model::StepCounts counts = counts_of(batch);
    if (backend().traits().records && counts.tokens <= kRecordedTokens) {
        const model::StepCounts bucket = padded(counts);
        const kernels::BatchView view = memory_.upload(batch, bucket);
        auto& recording = recordings_[{bucket.tokens, bucket.sequences, bucket.logit_rows,
                                       static_cast<int64_t>(work)}];
        if (recording == nullptr) {
            recording = backend().record([this, view, work] { enqueue(view, work); });
        }
        recording->replay();
    } else {
        enqueue(memory_.upload(batch), work);
    }
    return finish_step(batch, memory_);
}

model::StepCounts RankStep::padded(const model::StepCounts& counts) const {
    const model::StepSize& size = memory_.size();
    const int64_t rows = counts.logit_rows;
    return {.tokens = power_of_two_from(counts.tokens, size.tokens),
            .sequences = power_of_two_from(counts.sequences, size.sequences),
            .logit_rows = rows == 0 ? 0 : power_of_two_from(rows, size.logit_rows)};
}

void RankStep::enqueue(const kernels::BatchView& view, LogitWork work) {
    enqueue_step(weights(), view, memory_, *kv_, backend(), *model_.comm);
    if (work == LogitWork::None) return;
    const Rows logits = enqueue_logits(0, view.n_logit_rows);
    if (work == LogitWork::LogitsAndBest) enqueue_best(logits);
}

Rows RankStep::enqueue_logits(int64_t first, int64_t n) {
    return model::enqueue_logits(weights(), memory_, first, n, backend(), *model_.comm);
}

void RankStep::enqueue_best(const Rows& logits) {
    backend().top_k(
        {.logits = logits, .k = 1, .values = memory_.top_values, .ids = memory_.device.top_ids});
}

}  // namespace quarot::runtime
