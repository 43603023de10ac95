// The tokens of a step as the cache's kernels see them. All arrays are in device memory, so that a
// launch can be captured and replayed; the grid follows from the host's numbers alone.
#pragma once

#include <cstdint>

namespace quarot::kernels::cuda {

// Fields as in kernels::BatchView. A token whose position is negative is padding: nothing of it is
// stored, and attention writes zeros for it.
struct KvBatch {
    int64_t n_tokens = 0;
    const int32_t* positions = nullptr;          // [n_tokens]
    const int32_t* sequence_of_token = nullptr;  // [n_tokens]
    int64_t n_sequences = 0;
    const int32_t* first_token = nullptr;  // [n_sequences + 1]
    const int32_t* page_tables = nullptr;  // [n_sequences, max_pages]
    int64_t max_pages = 0;
};

}  // namespace quarot::kernels::cuda
