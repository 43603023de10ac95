// Few tokens in multiples: what a stage of a warp's ring takes, what the kernel is told, and where
// the planes of tokens come from (linear_multiple_stream.cu).
#pragma once

#include <cstdint>

#include "kernels/cuda/device/async_copy.cuh"
#include "kernels/cuda/device/mbarrier.cuh"
#include "kernels/cuda/device/memory.cuh"
#include "kernels/cuda/linear_group_copies.cuh"
#include "kernels/cuda/linear_group_shape.cuh"
#include "kernels/cuda/linear_kernels.h"

namespace quarot::kernels::cuda {

inline constexpr int kSegmentUnits = kSegmentColumns / 64;

// CTAs of a multiprocessor, which others than those of compute capability 9.0 have no room for.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 900
inline constexpr int kMostResident = 1;
#else
inline constexpr int kMostResident = kGroupCtas;
#endif

// kTokens: 1, 4, 8 or 16, at least as many as there are. kPieceSteps: of 32 columns, 1, 2 or 4.
// kKept: the token lies in shared memory as a whole, instead of passing through the rings.
template <int kTokens_, int kPieceSteps_, bool kKept_ = false>
struct MultipleShape {
    static constexpr int kTokens = kTokens_, kPieceSteps = kPieceSteps_;
    static constexpr bool kKept = kKept_, kZeroPoints = true;  // of weights
    static_assert(!kKept || kTokens == 1);
    static constexpr int kWarps = 8, kThreads = 32 * kWarps;
    // Units of a chunk: as many as leave room for two stages.
    static constexpr int kUnits = kTokens == 1                       ? 8
                                  : kTokens == 16                    ? 2
                                  : kTokens == 8 && kPieceSteps != 2 ? 2
                                                                     : 4;
    // CTAs of a multiprocessor; registers.
    static constexpr int kResident =
        kPieceSteps == 4 && (kTokens == 1 || kTokens == 16) ? 1 : kMostResident;
    static constexpr int kRun = kSegmentUnits / kUnits;  // chunks of a segment
    static constexpr int kSteps = 2 * kUnits, kPieces = kSteps / kPieceSteps;
    static constexpr int kTiles = kTokens > 4 ? kTokens / 4 : 1;  // of operand B
    // Pieces side by side in operand B, and sets of so many pieces in a chunk.
    static constexpr int kSlots = kTokens == 1 ? 4 : 1, kSets = kPieces / kSlots;
    static constexpr int kFragments = kSets * kPieceSteps;  // steps in which a lane has bytes
    static constexpr int kCopyBytes = kSlots > 1 && kPieceSteps == 1 ? 8 : 16;
    static constexpr int kTokenCopies = kFragments * 8 / kCopyBytes;  // of a lane and tile

    // A stage of a warp's ring, offsets in bytes.
    static constexpr int kTokenBytes = 512 * kUnits;
    static constexpr int kRowScales =
        kTokenBytes + (kKept ? 0 : kTiles * kTokenCopies * 32 * kCopyBytes);
    static constexpr int kRowZeros = kRowScales + 64 * kPieces;
    static constexpr int kStageBytes = kRowZeros + 16 * kPieces;

    static constexpr int kRingBytes = kGroupCtaBytes - kWarps * (256 * kTiles + 16);
    static constexpr int kFitting = kRingBytes / (kWarps * kStageBytes);
    static constexpr int kStages = kKept ? 2 : kFitting < 6 ? kFitting : 6;
    static_assert(kStages >= 2);
};

struct MultipleStreamProblem {
    GroupStreamProblem weights;
    const uint8_t* multiples;
    const RowUnit* token_units;
    uint32_t plane_bytes;  // from a plane to its next one
};

// What a lane's column of operand B holds.
template <class S>
struct LanePlane {
    int plane, slot, token;  // token: of the tile

    __device__ LanePlane() {
        const int column = static_cast<int>(threadIdx.x) % 32 / 4;
        plane = column % 2;
        slot = S::kSlots == 1 ? 0 : column / 2;
        token = S::kTokens == 1 ? 0 : column / 2;
    }
    // The step of its fragment, in a chunk.
    __device__ int step(int fragment) const {
        return (fragment / S::kPieceSteps * S::kSlots + slot) * S::kPieceSteps +
               fragment % S::kPieceSteps;
    }
    // Where the bytes of a copy lie in a chunk of so many rows, from the first unit of its plane.
    __device__ int offset(int copy, int rows, int row) const {
        const int at = step(copy * S::kCopyBytes / 8);
        return (at / 2 * rows + row) * 64 + threadIdx.x % 4 * 16 + at % 2 * 8;
    }
};

// Of the third plane, straight from memory: for lanes of the plane that it is added to.
template <class S>
struct ThirdPlane {
    bool present = false;  // of any token

    __device__ __forceinline__ void find(const MultipleStreamProblem& p) {
        for (int t = 0; t < p.weights.stream.n_tokens; ++t) {
            present |= load_fresh(&p.token_units[t].planes) == 3;
        }
    }
    // Of the tile's token at this lane in a chunk; zeros where there is none.
    __device__ uint2 fragment(const MultipleStreamProblem& p, const LanePlane<S>& lane, int tile,
                              int chunk, int fragment) const {
        const int row = lane.token + 4 * tile, step = lane.step(fragment);
        const int unit = chunk * S::kUnits + step / 2;
        const bool has_row = lane.plane == 1 && row < p.weights.stream.n_tokens;
        if (!has_row || unit >= p.weights.stream.units) return {};
        const uint32_t at = 2 * p.plane_bytes + (unit * p.weights.stream.n_tokens + row) * 64 +
                            threadIdx.x % 4 * 16 + step % 2 * 8;
        const auto* words = reinterpret_cast<const int32_t*>(p.multiples + at);
        return {static_cast<uint32_t>(load_fresh(words)),
                static_cast<uint32_t>(load_fresh(words + 1))};
    }
};

// Bytes of the tokens of a chunk, into a stage of the ring. Columns of no token become zeros.
template <class S>
__device__ __forceinline__ void copy_planes(uint32_t stage, const MultipleStreamProblem& p,
                                            const LanePlane<S>& of, const GroupCursor<S>& at) {
    if (!at.valid()) return;
    const StreamProblem& stream = p.weights.stream;
    const int unit = at.chunk() * S::kUnits, n_tokens = stream.n_tokens;
    const uint8_t* from = p.multiples + of.plane * static_cast<int64_t>(p.plane_bytes) +
                          static_cast<int64_t>(unit) * n_tokens * 64;
#pragma unroll
    for (int tile = 0; tile < S::kTiles; ++tile) {
        const int token = of.token + 4 * tile;
#pragma unroll
        for (int c = 0; c < S::kTokenCopies; ++c) {
            const bool present =
                token < n_tokens && unit + of.step(c * S::kCopyBytes / 8) / 2 < stream.units;
            const uint32_t to =
                stage + S::kTokenBytes +
                ((tile * S::kTokenCopies + c) * 32 + threadIdx.x % 32) * S::kCopyBytes;
            const uint8_t* bytes = present ? from + of.offset(c, n_tokens, token) : from;
            if constexpr (S::kCopyBytes == 8) {
                copy_eight_bytes_or_zero(to, bytes, present);
            } else {
                copy_async_or_zero(to, bytes, present);
            }
        }
    }
}

// Both planes of one token in shared memory, in the order of memory. What follows a plane's last
// unit may be read.
template <class S>
struct KeptPlanes {
    uint32_t memory;
    int plane_bytes;

    __device__ KeptPlanes(const MultipleStreamProblem& p, uint32_t at)
        : memory(at), plane_bytes(plane_bytes_of(p)) {}
    static __host__ __device__ int plane_bytes_of(const MultipleStreamProblem& p) {
        return (p.weights.stream.units + S::kUnits) * 64;
    }
    // By all warps that multiply, after wait_for_predecessor. Not by copies: the wait for them
    // would be one for the rings too.
    __device__ __forceinline__ void load(const MultipleStreamProblem& p) const {
        constexpr int kThreads = 32 * S::kWarps, kAhead = 4;
        const int of_plane = p.weights.stream.units * 4;
        for (int i = threadIdx.x; i < 2 * of_plane; i += kAhead * kThreads) {
            uint4 words[kAhead];
#pragma unroll
            for (int j = 0; j < kAhead; ++j) {
                const int at = i + j * kThreads;
                if (at < 2 * of_plane) words[j] = load_fresh(source(p, at, of_plane));
            }
#pragma unroll
            for (int j = 0; j < kAhead; ++j) {
                const int at = i + j * kThreads, plane = at >= of_plane;
                if (at >= 2 * of_plane) break;
                store_shared(memory + plane * plane_bytes + (at - plane * of_plane) * 16, words[j]);
            }
        }
        named_barrier(1, kThreads);
    }
    // This lane's plane of a chunk.
    __device__ uint32_t of_chunk(const LanePlane<S>& lane, int chunk) const {
        return memory + lane.plane * plane_bytes + chunk * S::kUnits * 64;
    }

  private:
    static __device__ const uint4* source(const MultipleStreamProblem& p, int at, int of_plane) {
        const int plane = at >= of_plane;
        return reinterpret_cast<const uint4*>(p.multiples + plane * p.plane_bytes) +
               (at - plane * of_plane);
    }
};

}  // namespace quarot::kernels::cuda
