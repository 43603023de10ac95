// A few tokens against groups: what a stage of a warp's ring and a chunk's terms take, and what the
// kernel is told (linear_group_stream.cu).
#pragma once

#include <bit>
#include <cstdint>

#include "kernels/cuda/linear_group_pieces.h"
#include "kernels/cuda/linear_stream.cuh"

namespace quarot::kernels::cuda {

// Two CTAs share a multiprocessor of compute capability 9.0.
inline constexpr int kGroupCtas = 2;
inline constexpr int kGroupCtaBytes = 112 * 1024;

constexpr int in_sixteens(int bytes) {
    return (bytes + 15) / 16 * 16;
}

// kTokens: 1, 4, 8 or 16, at least as many as there are. kPieceSteps: of 32 columns, 1, 2 or 4.
// kZeroPoints: of either side. kKept: the token lies in shared memory as a whole, instead of
// passing through the rings.
template <int kTokens_, int kPieceSteps_, bool kZeroPoints_, bool kKept_ = false>
struct GroupShape {
    static constexpr int kTokens = kTokens_, kPieceSteps = kPieceSteps_;
    static constexpr bool kZeroPoints = kZeroPoints_, kKept = kKept_;
    static_assert(!kKept || kTokens == 1);
    static constexpr int kWarps = 8, kAdders = kTokens >= 8 ? 2 : 1;
    static constexpr int kRun = 1;  // chunks that a warp takes in a row
    static constexpr int kThreads = 32 * (kWarps + kAdders);
    // Units of a chunk: as many as leave room for two stages.
    static constexpr int kUnits = kTokens == 1                      ? 8
                                  : kTokens == 4                    ? 4
                                  : kTokens == 8 && kPieceSteps > 1 ? 4
                                                                    : 2;
    static constexpr int kSteps = 2 * kUnits, kPieces = kSteps / kPieceSteps;
    static constexpr int kLogPieces = std::bit_width(static_cast<unsigned>(kPieces)) - 1;
    static constexpr int kTiles = kTokens > 8 ? 2 : 1;  // of operand B
    static constexpr int kColumnTokens = kTokens > 8 ? 8 : kTokens;
    // Pieces side by side in operand B, and sets of so many pieces in a chunk.
    static constexpr int kSlots = 8 / kColumnTokens < kPieces ? 8 / kColumnTokens : kPieces;
    static constexpr int kSets = kPieces / kSlots;
    static constexpr int kFragments = kSets * kPieceSteps;  // steps in which a lane has codes
    static constexpr int kCopyBytes = kSlots > 1 && kPieceSteps == 1 ? 8 : 16;
    static constexpr int kTokenCopies = kFragments * 8 / kCopyBytes;  // of a lane and tile

    // A stage of a warp's ring, offsets in bytes.
    static constexpr int kFactorBytes = kKept ? 0 : in_sixteens(4 * kPieces * kTokens);
    static constexpr int kTokenCodes = 512 * kUnits;
    static constexpr int kRowScales =
        kTokenCodes + (kKept ? 0 : kTiles * kTokenCopies * 32 * kCopyBytes);
    static constexpr int kRowZeros = kRowScales + 64 * kPieces;
    static constexpr int kTokenScales = kRowZeros + (kZeroPoints ? 16 * kPieces : 0);
    static constexpr int kTokenZeros = kTokenScales + kFactorBytes;
    static constexpr int kStageBytes = kTokenZeros + (kZeroPoints ? kFactorBytes : 0);

    // Terms of a chunk, by piece, token and row: the lanes of a warp meet in no bank.
    static constexpr int kPitch = 20;
    static constexpr int kTerms = kPieces * kTokens * kPitch;
    static constexpr int kRingBytes = kGroupCtaBytes - kWarps * (4 * kTerms + 16);
    static constexpr int kFitting = kRingBytes / (kWarps * kStageBytes);
    static constexpr int kStages = kKept ? 2 : kFitting < 6 ? kFitting : 6;
    static_assert(kStages >= 2);
};

struct GroupStreamProblem {
    StreamProblem stream;
    const float* token_scales;    // [n_tokens, groups.of_token]
    const uint32_t* token_zeros;  // bases or offsets, alike; or null
    bool token_offsets;
    bool row_zeros;  // else all are 8
    PieceGroups groups;
    // Of a sum: unit = 2^-unit_shift, start = -1.5 * 2^23 unit.
    int code_shift, unit_shift;
    float unit, start;
};

// Groups of either side in a chunk, at most S::kPieces.
template <class S>
__device__ __forceinline__ int groups_of_chunk(int shift) {
    return max(1, S::kPieces >> shift);
}

// What a lane's column of operand B holds.
template <class S>
struct LaneColumn {
    int slot, token;

    __device__ LaneColumn()
        : slot(static_cast<int>(threadIdx.x) % 32 / 4 / S::kColumnTokens),
          token(static_cast<int>(threadIdx.x) % 32 / 4 % S::kColumnTokens) {}
    // The step of its fragment, in a chunk.
    __device__ int step(int fragment) const {
        return (fragment / S::kPieceSteps * S::kSlots + slot) * S::kPieceSteps +
               fragment % S::kPieceSteps;
    }
};

}  // namespace quarot::kernels::cuda
