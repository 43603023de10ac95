// A model made ready on every rank of a group.
#pragma once

#include <functional>
#include <vector>

#include "kernels/group.h"
#include "model/shard.h"
#include "model/weights.h"
#include "runtime/rank_step.h"

namespace quarot::runtime {

class ModelGroup {
  public:
    using Load = std::function<model::Weights(const model::Shard&, kernels::Backend&)>;

    // `group`: of kernels::make_group. Calls `load` for all ranks at once, each on its own thread;
    // what it throws comes through.
    ModelGroup(std::vector<kernels::Rank> group, const Load& load);

    // For an Engine that this outlives.
    std::vector<RankModel> ranks() const;
    // Of rank 0.
    const model::Weights& weights() const { return weights_.front(); }
    kernels::Backend& backend() const { return *group_.front().backend; }

  private:
    std::vector<kernels::Rank> group_;
    std::vector<model::Weights> weights_;  // by rank; backends outlive them
};

}  // namespace quarot::runtime
