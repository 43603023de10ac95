#include "runtime/executor.h"

#include <algorithm>
#include <mutex>
#include <utility>

#include "core/check.h"
#include "core/error.h"
#include "kernels/group.h"

namespace quarot::runtime {

using kernels::Rows;
using kernels::Site;

Executor::Executor(std::vector<RankModel> ranks, const model::StepSize& size, int64_t n_pages) {
    std::vector<std::shared_ptr<comm::Comm>> comms;
    for (RankModel& rank : ranks) {
        comms.push_back(rank.comm);
        ranks_.push_back(std::make_unique<RankStep>(std::move(rank), size, n_pages));
    }
    QUAROT_CHECK(std::ssize(ranks_) == comms.front()->size(), "{} ranks", ranks_.size());
    threads_ = std::make_unique<kernels::RankThreads>(std::move(comms));
}

void Executor::each(const std::function<void(RankStep&)>& work) {
    if (ranks_.size() == 1) return work(lead());
    if (group_failed_) fail(ErrorCode::Device, "a rank of the group has failed in an earlier step");
    group_failed_ = true;
    threads_->run([&](size_t rank) { work(*ranks_[rank]); });
    group_failed_ = false;
}

int64_t Executor::cache_bytes() const {
    int64_t bytes = 0;
    for (const auto& rank : ranks_) bytes += rank->cache_bytes();
    return bytes;
}

std::vector<Site> Executor::run(const StepPlan& plan) {
    best_ = {};
    make_batch(plan);
    all_logits_resident_ = std::ssize(batch_.logit_rows) <= size().logit_rows;
    const LogitWork work = logit_work(plan);
    std::vector<Site> sites(plan.work.size(), kernels::kNoSite);
    std::mutex mutex;  // of sites
    each([&](RankStep& rank) {
        const std::vector<model::SequenceFailure> failures = rank.run(batch_, work);
        const std::lock_guard lock(mutex);
        for (const auto& failure : failures) {
            Site& lowest = sites[static_cast<size_t>(failure.sequence)];
            lowest = std::min(lowest, failure.site);
        }
    });
    if (work == LogitWork::LogitsAndBest) best_ = lead().memory().notes().top_ids;
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
        batch_.seats.push_back(static_cast<int32_t>(work.seat));
        const int32_t n_wanted = work.logits == LogitsWanted::All
                                     ? n - static_cast<int32_t>(work.n_without_logits)
                                 : work.logits == LogitsWanted::Last ? 1
                                                                     : 0;
        for (int32_t i = n - n_wanted; i < n; ++i) batch_.logit_rows.push_back(first + i);
        first_row_.push_back(std::ssize(batch_.logit_rows));
    }
}

LogitWork Executor::logit_work(const StepPlan& plan) const {
    if (!all_logits_resident_ || batch_.logit_rows.empty()) return LogitWork::None;
    const bool all_rows = std::ranges::any_of(
        plan.work, [](const Work& work) { return work.logits == LogitsWanted::All; });
    return all_rows ? LogitWork::Logits : LogitWork::LogitsAndBest;
}

Rows Executor::resident(int64_t first, int64_t n) {
    QUAROT_CHECK(first >= 0 && n > 0 && first + n <= first_row_.back(), "{} {}", first, n);
    if (all_logits_resident_) return lead().memory().logits.slice(first, n);
    Rows of_lead;
    each([&](RankStep& rank) {
        const Rows rows = rank.enqueue_logits(first, std::min(n, size().logit_rows));
        if (&rank == &lead()) of_lead = rows;
    });
    return of_lead;
}

model::StepNotes Executor::wait_for_logits(int64_t first, int64_t n) {
    const model::StepNotes notes = lead().memory().wait();
    const auto sites = notes.logits.subspan(static_cast<size_t>(first), static_cast<size_t>(n));
    if (std::ranges::all_of(sites, [](Site s) { return s == kernels::kNoSite; })) return notes;
    fail(ErrorCode::Numeric, "{}: NaN or Inf {}", weights().name,
         model::describe(model::kLogitSite));
}

void Executor::logits(int64_t first, int64_t n, std::span<float> out) {
    const int64_t vocab = weights().config.vocab;
    QUAROT_CHECK(std::ssize(out) == n * vocab, "{}", out.size());
    for (int64_t done = 0; done < n;) {
        const Rows rows = resident(first + done, n - done);
        for (int64_t r = 0; r < rows.rows; ++r) {
            lead().backend().download(out.data() + (done + r) * vocab, rows.f32(r),
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
        lead().enqueue_best(rows);
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
        lead().backend().upload(lead().memory().device.targets, targets.data() + done,
                                rows.rows * int64_t{sizeof(int32_t)});
        lead().backend().log_probabilities({.logits = rows,
                                            .targets = lead().memory().device.targets,
                                            .out = lead().memory().scores});
        lead().backend().download(out.data() + done, lead().memory().scores,
                                  rows.rows * int64_t{sizeof(double)});
        wait_for_logits(first + done, rows.rows);
        done += rows.rows;
    }
}

void Executor::divergence(Executor& base, int64_t first, std::span<Divergence> out) {
    const int64_t n = std::ssize(out);
    QUAROT_CHECK(&lead().backend() == &base.lead().backend());
    best_ = base.best_ = {};
    for (int64_t done = 0; done < n;) {
        const int64_t wanted = std::min({n - done, size().logit_rows, base.size().logit_rows});
        const Rows rows = resident(first + done, wanted);
        const Rows base_rows = base.resident(first + done, wanted);
        lead().backend().divergence(
            {.base = base_rows, .model = rows, .out = lead().memory().scores});
        lead().enqueue_best(rows);
        base.lead().enqueue_best(base_rows);
        std::vector<double> kl(static_cast<size_t>(wanted));
        lead().backend().download(kl.data(), lead().memory().scores,
                                  wanted * int64_t{sizeof(double)});
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
