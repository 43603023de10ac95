#include <array>

#include "core/checked_math.h"
#include "core/error.h"
#include "kernels/cuda/attention.h"

namespace quarot::kernels::cuda {

int64_t attention_workspace_bytes(const AttentionCall& call) {
    // A partial result: head_dim values, its maximum and its sum of weights.
    const std::array<int64_t, 5> shape{call.batch.n_sequences, call.n_heads,
                                       ceil_div(call.max_context, kChunkTokens),
                                       call.kv.head_dim + 2, 4};
    const auto bytes = checked_product(shape);
    if (!bytes) {
        fail(ErrorCode::OutOfMemory, "attention over {} sequences of {} positions is too large",
             call.batch.n_sequences, call.max_context);
    }
    return *bytes;
}

}  // namespace quarot::kernels::cuda
