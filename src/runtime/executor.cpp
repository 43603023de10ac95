#include "runtime/executor.h"

#include <algorithm>
#include <bit>
#include <numeric>
#include <utility>

#include "core/check.h"
#include "core/error.h"

namespace quarot::runtime {

using kernels::Rows;
using kernels::Site;

namespace {

// Steps of more tokens are enqueued afresh: their work hides the calls.
constexpr int64_t kRecordedTokens = 64;

int64_t power_of_two_from(int64_t n, int64_t most) {
    return std::min(most, static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(n))));
}

}  // namespace

Executor::Executor(const model::Weights& weights, kernels::Backend& backend,
                   const model::StepSize& size, int64_t n_pages)
    : weights_(weights),
      backend_(backend),
      comm_(std::move(backend.join({}).front())),
      kv_(backend.make_kv_store(weights.kv_descriptor(), n_pages)),
      memory_(weights, size, backend) {
    QUAROT_CHECK(weights.shard.size == comm_->size(), "{} ranks", weights.shard.size);
}

std::vector<Site> Executor::run(const StepPlan& plan) {
    best_ = {};
    make_batch(plan);
    const model::StepCounts counts = counts_of(batch_);
    all_logits_resident_ = counts.logit_rows <= size().logit_rows;
    const LogitWork work = logit_work(plan);
    if (backend_.traits().records && counts.tokens <= kRecordedTokens) {
        const model::StepCounts bucket = padded(counts);
        const kernels::BatchView view = memory_.upload(batch_, bucket);
        auto& recording = recordings_[{bucket.tokens, bucket.sequences, bucket.logit_rows,
                                       static_cast<int64_t>(work)}];
        if (recording == nullptr) {
            recording = backend_.record([this, view, work] { enqueue(view, work); });
        }
        recording->replay();
    } else {
        enqueue(memory_.upload(batch_), work);
    }
    std::vector<Site> sites(plan.work.size(), kernels::kNoSite);
    for (const auto& failure : finish_step(batch_, memory_)) {
        sites[static_cast<size_t>(failure.sequence)] = failure.site;
    }
    if (work == LogitWork::LogitsAndBest) best_ = memory_.notes().top_ids;
    return sites;
}

void Executor::make_batch(const StepPlan& plan) {
    batch_ = {};
    first_row_ = {0};
    for (const Work& work : plan.work) {
        const auto first = static_cast<int32_t>(batch_.n_tokens());
        const auto n = static_cast<int32_t>(work.tokens.size());
        const auto position = static_cast<int32_t>(work.first_position);
        batch_.token_ids.insert(batch_.token_ids.end(), work.tokens.begin(), work.tokens.end());
        for (int32_t i = 0; i < n; ++i) batch_.positions.push_back(position + i);
        batch_.first_token.push_back(first + n);
        batch_.context_lengths.push_back(position + n);
        batch_.pages.insert(batch_.pages.end(), work.pages.begin(), work.pages.end());
        batch_.first_page.push_back(static_cast<int32_t>(batch_.pages.size()));
        const int32_t n_wanted = work.logits == LogitsWanted::All
                                     ? n - static_cast<int32_t>(work.n_without_logits)
                                 : work.logits == LogitsWanted::Last ? 1
                                                                     : 0;
        for (int32_t i = n - n_wanted; i < n; ++i) batch_.logit_rows.push_back(first + i);
        first_row_.push_back(std::ssize(batch_.logit_rows));
    }
}

model::StepCounts Executor::padded(const model::StepCounts& counts) const {
    const int64_t rows = counts.logit_rows;
    return {.tokens = power_of_two_from(counts.tokens, size().tokens),
            .sequences = power_of_two_from(counts.sequences, size().sequences),
            .logit_rows = rows == 0 ? 0 : power_of_two_from(rows, size().logit_rows)};
}

Executor::LogitWork Executor::logit_work(const StepPlan& plan) const {
    if (!all_logits_resident_ || batch_.logit_rows.empty()) return LogitWork::None;
    const bool all_rows = std::ranges::any_of(
        plan.work, [](const Work& work) { return work.logits == LogitsWanted::All; });
    return all_rows ? LogitWork::Logits : LogitWork::LogitsAndBest;
}

void Executor::enqueue(const kernels::BatchView& view, LogitWork work) {
    model::enqueue_step(weights_, view, memory_, *kv_, backend_, *comm_);
    if (work == LogitWork::None) return;
    const Rows logits =
        model::enqueue_logits(weights_, memory_, 0, view.n_logit_rows, backend_, *comm_);
    if (work == LogitWork::LogitsAndBest) enqueue_best(logits);
}

void Executor::enqueue_best(const Rows& logits) {
    backend_.top_k(
        {.logits = logits, .k = 1, .values = memory_.top_values, .ids = memory_.device.top_ids});
}

Rows Executor::resident(int64_t first, int64_t n) {
    QUAROT_CHECK(first >= 0 && n > 0 && first + n <= first_row_.back(), "{} {}", first, n);
    if (all_logits_resident_) return memory_.logits.slice(first, n);
    return model::enqueue_logits(weights_, memory_, first, std::min(n, size().logit_rows), backend_,
                                 *comm_);
}

model::StepNotes Executor::wait_for_logits(int64_t first, int64_t n) {
    const model::StepNotes notes = memory_.wait();
    const auto sites = notes.logits.subspan(static_cast<size_t>(first), static_cast<size_t>(n));
    if (std::ranges::all_of(sites, [](Site s) { return s == kernels::kNoSite; })) return notes;
    fail(ErrorCode::Numeric, "{}: NaN or Inf {}", weights_.name,
         model::describe(model::kLogitSite));
}

void Executor::logits(int64_t first, int64_t n, std::span<float> out) {
    const int64_t vocab = weights_.config.vocab;
    QUAROT_CHECK(std::ssize(out) == n * vocab, "{}", out.size());
    for (int64_t done = 0; done < n;) {
        const Rows rows = resident(first + done, n - done);
        for (int64_t r = 0; r < rows.rows; ++r) {
            backend_.download(out.data() + (done + r) * vocab, rows.f32(r),
                              vocab * size_of(DType::F32));
        }
        wait_for_logits(first + done, rows.rows);
        done += rows.rows;
    }
}

int32_t Executor::best(int64_t row) {
    QUAROT_CHECK(row >= 0 && row < first_row_.back(), "{}", row);
    if (best_.empty()) {
        const int64_t first = all_logits_resident_ ? 0 : row;
        const Rows rows = resident(first, all_logits_resident_ ? first_row_.back() : 1);
        enqueue_best(rows);
        const model::StepNotes notes = wait_for_logits(first, rows.rows);
        if (!all_logits_resident_) return notes.top_ids.front();
        best_ = notes.top_ids;
    }
    return best_[static_cast<size_t>(row)];
}

void Executor::log_probabilities(int64_t first, std::span<const int32_t> targets,
                                 std::span<double> out) {
    const int64_t n = std::ssize(targets);
    QUAROT_CHECK(out.size() == targets.size(), "{} {}", out.size(), n);
    for (int64_t done = 0; done < n;) {
        const Rows rows = resident(first + done, n - done);
        backend_.upload(memory_.device.targets, targets.data() + done,
                        rows.rows * int64_t{sizeof(int32_t)});
        backend_.log_probabilities(
            {.logits = rows, .targets = memory_.device.targets, .out = memory_.scores});
        backend_.download(out.data() + done, memory_.scores, rows.rows * int64_t{sizeof(double)});
        wait_for_logits(first + done, rows.rows);
        done += rows.rows;
    }
}

void Executor::divergence(Executor& base, int64_t first, std::span<Divergence> out) {
    const int64_t n = std::ssize(out);
    QUAROT_CHECK(&backend_ == &base.backend_);
    best_ = base.best_ = {};
    for (int64_t done = 0; done < n;) {
        const int64_t wanted = std::min({n - done, size().logit_rows, base.size().logit_rows});
        const Rows rows = resident(first + done, wanted);
        const Rows base_rows = base.resident(first + done, wanted);
        backend_.divergence({.base = base_rows, .model = rows, .out = memory_.scores});
        enqueue_best(rows);
        base.enqueue_best(base_rows);
        std::vector<double> kl(static_cast<size_t>(wanted));
        backend_.download(kl.data(), memory_.scores, wanted * int64_t{sizeof(double)});
        const auto ids = wait_for_logits(first + done, wanted).top_ids;
        const auto base_ids = base.wait_for_logits(first + done, wanted).top_ids;
        for (int64_t i = 0; i < wanted; ++i) {
            const auto row = static_cast<size_t>(i);
            out[static_cast<size_t>(done) + row] = {kl[row], ids[row] == base_ids[row]};
        }
        done += wanted;
    }
}

}  // namespace quarot::runtime
