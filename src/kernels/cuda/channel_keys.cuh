// Keys by channel on the device: what a step finds and brings of one sequence, and where its keys
// lie as they came (kernels/channel_keys.h says the same for the host).
#pragma once

#include <cuda_fp16.h>

#include <cstdint>

#include "kernels/channel_run.h"
#include "kernels/cuda/kv_batch.h"
#include "kernels/cuda/kv_view.h"
#include "kernels/cuda/rows_view.h"

namespace quarot::kernels::cuda {

// Of a sequence that has tokens in this step. The batch's arrays are there since before it.
__device__ inline ChannelRun channel_run(const KvBatch& batch, const KvPart& keys,
                                         int64_t sequence) {
    ChannelRun run;
    run.block = keys.block;
    run.first_token = batch.first_token[sequence];
    run.seat = batch.seats[sequence];
    run.first = batch.positions[run.first_token];
    run.end = run.first + static_cast<int>(batch.first_token[sequence + 1] - run.first_token);
    return run;
}

// The keys of one head from the run's first block on, as they came. T: float or __half.
template <typename T>
struct ExactKeys {
    const T* found = nullptr;     // [block, head_dim]
    const T* appended = nullptr;  // of the run's first token
    int stride = 0;
    int block = 1, head_dim = 0;
    int first = 0, end = 0;

    ExactKeys() = default;
    // `rows`: those that the step appended. Of a step that still writes the newest blocks `found`
    // is theirs, else where the step left them.
    __device__ ExactKeys(const KvView& kv, const RowsView& rows, const ChannelRun& run,
                         int64_t layer, int64_t head, bool appending)
        : stride(static_cast<int>(rows.stride)),
          block(run.block),
          head_dim(kv.head_dim),
          first(run.first),
          end(run.end) {
        const bool elsewhere = !appending && run.leaves_block();
        found = reinterpret_cast<const T*>(
            kv.newest_keys(elsewhere ? kv.n_layers : layer, run.seat, head));
        appended =
            static_cast<const T*>(rows.data) + run.first_token * rows.stride + head * head_dim;
    }
    // That of the last position, for one behind it.
    __device__ const T* key(int position) const {
        if (position < first) return found + position % block * head_dim;
        return appended + static_cast<int64_t>(min(position, end - 1) - first) * stride;
    }
};

}  // namespace quarot::kernels::cuda
