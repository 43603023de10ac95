// Causal attention over the paged cache, split over sequences, kv heads and tiles of queries.
#pragma once

#include <vector>

#include "kernels/cpu/cpu_context.h"
#include "kernels/ops.h"

namespace quarot::kernels::cpu {

// Some tokens of one sequence, with all query heads that share one kv head.
struct AttentionTask {
    int64_t sequence, kv_head, first_token, n_tokens;
};

class CpuAttention {
  public:
    void run(CpuContext& context, const AttentionArgs& args);

  private:
    void list_tasks(const AttentionArgs& args);

    std::vector<AttentionTask> tasks_;  // kept between calls for its memory
};

}  // namespace quarot::kernels::cpu
