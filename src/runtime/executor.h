// Runs planned steps on a model: a batch from a plan, one pass over it, one wait.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "kernels/group.h"
#include "model/layer_steps.h"
#include "runtime/rank_step.h"
#include "runtime/scheduler.h"

namespace quarot::runtime {

// Owns the KV cache and the memory of a step on each rank; see RankStep. Used by one thread;
// weights and backends must outlive it. Where a rank of a group fails, in whatever call, all later
// calls fail too.
class Executor {
  public:
    // `ranks`: all of a group, in order.
    Executor(std::vector<RankModel> ranks, const model::StepSize& size, int64_t n_pages);

    // Runs the plan. For each work the lowest site at which a NaN or Inf arose, or kNoSite; other
    // works are not touched by it. Logits of wanted rows, all but those of All that are too many
    // for memory, are looked at for this as well.
    std::vector<kernels::Site> run(const StepPlan& plan);

    // The wanted rows of work i of the last plan are [first_row(i), first_row(i + 1)).
    int64_t first_row(size_t work) const { return first_row_.at(work); }

    // Of the wanted rows [first, first + n) of the last plan. Error{Numeric} for a NaN or Inf among
    // their logits. out: [n, vocab].
    void logits(int64_t first, int64_t n, std::span<float> out);
    // The likeliest token of a wanted row, the lowest id among equals. A step of which only last
    // rows are wanted brings those of all rows; else the first call finds them, where their logits
    // fit memory together.
    int32_t best(int64_t row);
    // Of the rows from `first` on, one a target: log P(target), fp64.
    void log_probabilities(int64_t first, std::span<const int32_t> targets, std::span<double> out);

    // Of rows of this model against the same rows of `base`, a model of the same vocabulary on the
    // same backend; fp64 nats, and whether both have the same likeliest token.
    struct Divergence {
        double kl = 0.0;
        bool same_top1 = false;
    };
    void divergence(Executor& base, int64_t first, std::span<Divergence> out);

    // Of rank 0, as its part of the model is.
    const model::Weights& weights() const { return lead().weights(); }
    const model::StepSize& size() const { return lead().memory().size(); }
    int64_t cache_bytes() const;  // of all ranks

  private:
    RankStep& lead() { return *ranks_.front(); }
    const RankStep& lead() const { return *ranks_.front(); }
    // On all ranks at once.
    void each(const std::function<void(RankStep&)>& work);

    void make_batch(const StepPlan& plan);
    LogitWork logit_work(const StepPlan& plan) const;
    // Logits of some of the wanted rows in memory, at most size().logit_rows from `first` on, and
    // how many they are; enqueued if they are not there yet.
    kernels::Rows resident(int64_t first, int64_t n);
    model::StepNotes wait_for_logits(int64_t first, int64_t n);

    std::vector<std::unique_ptr<RankStep>> ranks_;
    std::unique_ptr<kernels::RankThreads> threads_;  // of the ranks
    bool group_failed_ = false;
    model::Batch batch_;
    std::vector<int64_t> first_row_ = {0};
    bool all_logits_resident_ = false;
    std::span<const int32_t> best_;  // of all wanted rows, once they are known
};

}  // namespace quarot::runtime
