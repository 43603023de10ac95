// Keys by channel on the device: what a step finds and brings of one sequence, and where its keys
// lie as they came (kernels/channel_keys.h says the same for the host).
#pragma once

#include <cuda_fp16.h>

#include <cstdint>

#include "kernels/cuda/kv_batch.h"
#include "kernels/cuda/kv_view.h"
#include "kernels/cuda/rows_view.h"

namespace quarot::kernels::cuda {

// A sequence's tokens of one step, of which there is at least one: positions [first, end), the
// first of them token `first_token` of the batch.
struct ChannelRun {
    int block = 1;  // positions
    int first = 0, end = 0;
    int64_t first_token = 0;
    int64_t seat = 0;

    ChannelRun() = default;
    // The batch's arrays are there since before the step.
    __device__ ChannelRun(const KvBatch& batch, const KvPart& keys, int64_t sequence)
        : block(keys.block), first_token(batch.first_token[sequence]), seat(batch.seats[sequence]) {
        first = batch.positions[first_token];
        end = first + static_cast<int>(batch.first_token[sequence + 1] - first_token);
    }
    // Keys of the first block that are from earlier steps.
    __device__ int n_found() const { return first % block; }
    __device__ int first_block() const { return first / block; }
    __device__ int newest_block() const { return (end - 1) / block; }
    // Whether the step leaves that block, so that its own queries need it elsewhere.
    __device__ bool leaves_block() const { return n_found() > 0 && newest_block() > first_block(); }
    __device__ int64_t token_of(int position) const { return first_token + position - first; }
};

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
