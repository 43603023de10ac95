// One rank's part of the steps that an executor runs: its weights, its cache, its memory.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "comm/comm.h"
#include "model/forward.h"
#include "model/step_memory.h"
#include "model/weights.h"

namespace quarot::runtime {

// A model, or one rank's part of it, on a backend that outlives it.
struct RankModel {
    const model::Weights& weights;
    kernels::Backend& backend;
    std::shared_ptr<comm::Comm> comm;
};
// A model on one backend: a group of one.
std::vector<RankModel> one_rank(const model::Weights& weights, kernels::Backend& backend);

// What of the logits is part of a step.
enum class LogitWork { None, Logits, LogitsAndBest };

// After it is made it allocates no backend memory. Where a backend records, small steps are padded
// to a few sizes and replayed. Used by one thread at a time; every rank of a group runs the same.
class RankStep {
  public:
    RankStep(RankModel model, const model::StepSize& size, int64_t n_pages);

    // One step, waited for; LogitsAndBest leaves notes().top_ids.
    std::vector<model::SequenceFailure> run(const model::Batch& batch, LogitWork work);
    // Enqueues the logits of n wanted rows from `first` on, or the likeliest tokens of logits.
    kernels::Rows enqueue_logits(int64_t first, int64_t n);
    void enqueue_best(const kernels::Rows& logits);

    const model::Weights& weights() const { return model_.weights; }
    kernels::Backend& backend() { return model_.backend; }
    model::StepMemory& memory() { return memory_; }
    const model::StepMemory& memory() const { return memory_; }
    int64_t cache_bytes() const { return kv_->bytes(); }

  private:
    using Bucket = std::array<int64_t, 4>;  // counts and LogitWork

    model::StepCounts padded(const model::StepCounts& counts) const;
    void enqueue(const kernels::BatchView& view, LogitWork work);

    RankModel model_;
    std::unique_ptr<kernels::KvStore> kv_;
    model::StepMemory memory_;
    std::map<Bucket, std::unique_ptr<kernels::Recording>> recordings_;
};

}  // namespace quarot::runtime
