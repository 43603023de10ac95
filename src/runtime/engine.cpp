#include "runtime/engine.h"

#include <algorithm>
#include <set>

#include "core/check.h"
#include "core/error.h"
#include "core/process.h"

namespace quarot::runtime {

namespace {

int64_t pages_for(const kernels::KvDescriptor& kv, int64_t n_tokens, int64_t n_sequences) {
    return std::max<int64_t>(1, ceil_div(n_tokens, kv.page_tokens)) * n_sequences;
}

model::StepSize step_size(const kernels::KvDescriptor& kv, int64_t n_tokens, int64_t n_sequences) {
    const int64_t tokens = std::clamp<int64_t>(n_tokens * n_sequences, 1, kStepTokens);
    return {.tokens = std::max(tokens, n_sequences),
            .sequences = n_sequences,
            .pages = pages_for(kv, n_tokens, 1),
            .logit_rows = std::min(tokens, kLogitRows)};
}

void check_tokens(std::span<const int32_t> tokens, int64_t vocab) {
    for (const int32_t id : tokens) {
        if (id < 0 || id >= vocab) {
            fail(ErrorCode::Usage, "token id {} is outside the vocabulary of {}", id, vocab);
        }
    }
}

}  // namespace

Engine::Engine(const model::Weights& weights, kernels::Backend& backend, int64_t n_tokens,
               int64_t n_sequences, std::mutex* turn)
    : weights_(weights),
      backend_(backend),
      turn_(turn),
      kv_(backend.make_kv_store(weights.kv_descriptor(),
                                pages_for(weights.kv_descriptor(), n_tokens, n_sequences))),
      tables_(kv_->n_pages(), kv_->descriptor().page_tokens),
      memory_(weights, step_size(kv_->descriptor(), n_tokens, n_sequences), backend) {}

int64_t Engine::step(std::span<const Chunk> chunks) {
    check_chunks(chunks);
    std::vector<int64_t> lengths;
    for (const Chunk& chunk : chunks) lengths.push_back(tables_.length(chunk.sequence));
    const auto take_back = [&](size_t chunk) {
        tables_.truncate(chunks[chunk].sequence, lengths[chunk]);
    };
    std::vector<model::SequenceFailure> failures;
    try {
        const model::Batch batch = make_batch(chunks);
        const auto turn = take_turn();
        const kernels::BatchView view = memory_.upload(batch);
        model::enqueue_step(weights_, view, memory_, *kv_, backend_, comm_);
        failures = model::finish_step(batch, memory_);
        n_logit_rows_ = view.n_logit_rows;
    } catch (...) {
        for (size_t i = 0; i < chunks.size(); ++i) take_back(i);
        throw;
    }
    for (const auto& failure : failures) take_back(static_cast<size_t>(failure.sequence));
    if (!failures.empty()) fail_numeric(failures.front().site);
    return n_logit_rows_;
}

void Engine::fail_numeric(kernels::Site site) const {
    fail(ErrorCode::Numeric, "{}: NaN or Inf {}", weights_.name, model::describe(site));
}

std::unique_lock<std::mutex> Engine::take_turn() const {
    return turn_ == nullptr ? std::unique_lock<std::mutex>() : std::unique_lock(*turn_);
}

void Engine::check_chunks(std::span<const Chunk> chunks) const {
    std::set<SequenceId> seen;
    for (const Chunk& chunk : chunks) {
        const auto n = static_cast<int64_t>(chunk.tokens.size());
        QUAROT_CHECK(n > 0);
        QUAROT_CHECK(seen.insert(chunk.sequence).second, "sequence {} twice", chunk.sequence);
        check_tokens(chunk.tokens, weights_.config.vocab);
        const int64_t length = tables_.length(chunk.sequence) + n;
        if (length > weights_.n_positions) {
            fail(ErrorCode::Usage, "{} tokens do not fit the context of {} positions", length,
                 weights_.n_positions);
        }
    }
}

model::Batch Engine::make_batch(std::span<const Chunk> chunks) {
    model::Batch batch;
    for (const Chunk& chunk : chunks) {
        const auto n = static_cast<int64_t>(chunk.tokens.size());
        const int64_t start = tables_.length(chunk.sequence);
        tables_.extend(chunk.sequence, n);
        const auto first = static_cast<int32_t>(batch.n_tokens());
        batch.token_ids.insert(batch.token_ids.end(), chunk.tokens.begin(), chunk.tokens.end());
        for (int64_t i = 0; i < n; ++i) batch.positions.push_back(static_cast<int32_t>(start + i));
        batch.first_token.push_back(static_cast<int32_t>(batch.n_tokens()));
        batch.context_lengths.push_back(static_cast<int32_t>(start + n));
        const auto last = static_cast<int32_t>(first + n - 1);
        const int32_t first_wanted = chunk.logits == LogitsWanted::All    ? first
                                     : chunk.logits == LogitsWanted::Last ? last
                                                                          : last + 1;
        for (int32_t row = first_wanted; row <= last; ++row) batch.logit_rows.push_back(row);
        const auto& pages = tables_.pages(chunk.sequence);
        batch.pages.insert(batch.pages.end(), pages.begin(), pages.end());
        batch.first_page.push_back(static_cast<int32_t>(batch.pages.size()));
    }
    return batch;
}

void Engine::logits(int64_t first, int64_t n, std::span<float> out) {
    QUAROT_CHECK(first >= 0 && n >= 0 && first + n <= n_logit_rows_);
    QUAROT_CHECK(static_cast<int64_t>(out.size()) == n * weights_.config.vocab);
    if (n == 0) return;
    const auto turn = take_turn();
    for (int64_t row = 0; row < n; row += memory_.logits.rows) {
        const int64_t rows = std::min(n - row, memory_.logits.rows);
        const kernels::Rows logits =
            model::enqueue_logits(weights_, memory_, first + row, rows, backend_);
        for (int64_t r = 0; r < rows; ++r) {
            backend_.download(out.data() + (row + r) * logits.cols, logits.f32(r),
                              logits.cols * size_of(DType::F32));
        }
        const auto notes = memory_.wait().logits.subspan(static_cast<size_t>(first + row),
                                                         static_cast<size_t>(rows));
        const kernels::Site site = *std::min_element(notes.begin(), notes.end());
        if (site != kernels::kNoSite) fail_numeric(site);
    }
}

void prefill(Engine& engine, SequenceId sequence, std::span<const int32_t> tokens, int64_t piece) {
    QUAROT_CHECK(piece > 0);
    while (!tokens.empty()) {
        throw_if_interrupted();
        const auto n = std::min<size_t>(tokens.size(), static_cast<size_t>(piece));
        const Chunk chunk = {sequence, tokens.first(n),
                             n == tokens.size() ? LogitsWanted::Last : LogitsWanted::None};
        engine.step({&chunk, 1});
        tokens = tokens.subspan(n);
    }
}

}  // namespace quarot::runtime
