// The tokens of a step as the cache's kernels see them. All arrays are in device memory, so that a
// launch can be captured and replayed; the grid follows from the host's numbers alone.
#pragma once

#include <cstdint>

#include "kernels/host_device.h"

namespace quarot::kernels::cuda {

// Fields as in kernels::BatchView. A token whose position is negative is padding: nothing of it is
// stored, and attention writes zeros for it.
struct KvBatch {
    int64_t n_tokens = 0;
    const int32_t* positions = nullptr;          // [n_tokens]
    const int32_t* sequence_of_token = nullptr;  // [n_tokens]
    int64_t n_sequences = 0;
    const int32_t* first_token = nullptr;  // [n_sequences + 1]
    const int32_t* pages = nullptr;        // of all sequences, those of s from first_page[s] on
    const int32_t* first_page = nullptr;   // [n_sequences + 1]
    const int32_t* seats = nullptr;        // [n_sequences]; null without keys by channel

    // Page of the cache that holds the sequence's positions [index * page_tokens, ...).
    QUAROT_HOST_DEVICE int32_t page(int64_t sequence, int64_t index) const {
        return pages[first_page[sequence] + index];
    }
};

}  // namespace quarot::kernels::cuda
