#include "runtime/model_group.h"

#include <utility>

namespace quarot::runtime {

ModelGroup::ModelGroup(std::vector<kernels::Rank> group, const Load& load)
    : group_(std::move(group)), weights_(group_.size()) {
    kernels::run_ranks(group_, [&](kernels::Rank& rank) {
        const model::Shard shard = {.rank = rank.comm->rank(), .size = rank.comm->size()};
        weights_[static_cast<size_t>(shard.rank)] = load(shard, *rank.backend);
    });
}

std::vector<RankModel> ModelGroup::ranks() const {
    std::vector<RankModel> ranks;
    for (size_t i = 0; i < group_.size(); ++i) {
        ranks.push_back({weights_[i], *group_[i].backend, group_[i].comm});
    }
    return ranks;
}

}  // namespace quarot::runtime
