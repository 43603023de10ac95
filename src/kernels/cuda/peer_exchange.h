// What the GPUs of one process tell each other through their own memory, in kernels that wait for
// each other. Measured beside NCCL's design in docs/cuda.md.
#pragma once

#include <cstdint>

#include "kernels/cuda/rows_view.h"
#include "kernels/cuda/stream.h"

namespace quarot::kernels::cuda {

inline constexpr int kMostRanks = 8;

// A value in the lower half of a word, and in the upper one the number of the exchange it belongs
// to: whoever reads that number has the value.
using StampedValue = uint64_t;

// Values of one rank that cross stamped, at most; more are read where they lie.
inline constexpr int64_t kMostStamped = int64_t{128} << 10;

// CTAs of a kernel in which GPUs wait for each other: all of them run at once.
inline constexpr int kPeerCtas = 128;

// What a rank's kernels know of the group. Index r of an array: memory of rank r's GPU.
struct PeerView {
    int rank = 0;
    int size = 1;
    StampedValue* stamped[kMostRanks] = {};  // [2 turns][size][kMostStamped]
    uint32_t* arrivals[kMostRanks] = {};     // [size][kPeerCtas]: turns of barriers
    uint32_t* turn = nullptr;                // of exchanges of stamped values so far; CTAs done
    uint32_t* barriers = nullptr;            // [kPeerCtas]: this rank's turns so far
    const uint32_t* abandoned = nullptr;  // memory of the host: not 0 where nobody waits any more
};

// Every rank launches the same operations in the same order with operands of the same shape; they
// only enqueue. Operands `at` index r are rank r's, as fp32; sums as comm.h says.

// In place; rows.rows * rows.cols <= kMostStamped.
void sum_stamped(const PeerView& peers, const RowsView& rows, Stream stream);
// In place, of rows anywhere.
struct PeerRows {
    float* at[kMostRanks] = {};
    int64_t rows = 0, cols = 0, stride = 0;
};
void sum_in_slices(const PeerView& peers, const PeerRows& rows, Stream stream);
// Of this rank's rows [first, first + count) alone. A rank that ends may still be read by another.
struct ShareOfRows {
    int64_t first = 0, count = 0;
};
void sum_share(const PeerView& peers, const PeerRows& rows, ShareOfRows share, Stream stream);
// Columns [rank * cols, (rank + 1) * cols) of everybody's `whole` become part's.
void gather_columns(const PeerView& peers, const RowsView& part, const PeerRows& whole,
                    Stream stream);
// In place; n <= kMostStamped.
void maximum(const PeerView& peers, float* values, int64_t n, Stream stream);
// Runs of bytes that lie equally far behind everybody's base; each rank has runs of its own, or
// none. Nobody goes on before all have spread theirs.
struct PeerRanges {
    std::byte* base[kMostRanks] = {};
    struct Range {
        int64_t offset = 0, bytes = 0;
    } ranges[6];
    int n = 0;
    bool meets_first = true;  // false: all have met since the others' memory was last used
};
void spread(const PeerView& peers, const PeerRanges& ranges, Stream stream);

}  // namespace quarot::kernels::cuda
