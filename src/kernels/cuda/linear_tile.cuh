// Shapes and shared memory of the tile kernels (linear_tile.cu), for the host and the device.
#pragma once

#include <cuda.h>

#include "kernels/cuda/linear_epilogue.cuh"

namespace quarot::kernels::cuda {

// What a launch of any tile kernel is told.
struct TileProblem {
    CUtensorMap tokens;  // codes of the activations
    CUtensorMap out;     // 16-bit outputs
    const uint8_t* units;
    FactorSource factors;
    OutputElements elements;
    int n_tokens, n_rows;
    int row_blocks;  // of 64 rows
    int stages;      // of 128 columns
    int raster;      // token tiles that are visited together, for the cache's sake
    bool symmetric;  // weights and activations alike
};

// kTokens: of a tile, whose rows are 128. kStages: of the ring. kMulticast: CTAs of a cluster that
// share tokens, each with row blocks of its own. kSplit: CTAs of a cluster that share a tile's
// columns. kPiece, kPieces: tokens of one store and buffers for them, for each warpgroup.
template <int kTokens_, int kStages_, int kMulticast_, int kSplit_, int kPiece_, int kPieces_>
struct Tile {
    static constexpr int kTokens = kTokens_, kStages = kStages_, kMulticast = kMulticast_,
                         kSplit = kSplit_, kPiece = kPiece_, kPieces = kPieces_;
    static constexpr int kCluster = kMulticast * kSplit;
    static constexpr int kWarpgroups = 2;  // of consumers; one 64-row block each
    static constexpr int kThreads = 128 * (kWarpgroups + 1);
    static constexpr int kRows = 64 * kWarpgroups;
    static constexpr int kTokenBytes = kTokens * 128, kUnitBytes = 4096;  // two units of a block
    static constexpr int kStageBytes = kTokenBytes + kWarpgroups * kUnitBytes;
    static constexpr int kPieceBytes = kPiece * 128;
    static constexpr int kSumPitch = kRows * 4 + 16;  // bytes of a token's sums in a split tile
    static constexpr int kOutBytes =
        kSplit > 1 ? kTokens* kSumPitch : kWarpgroups* kPieces* kPieceBytes;
    static constexpr int kFactorBytes = kSplit > 1 ? 0 : kWarpgroups* kTokens * 12;

    // Offsets from an address that is a multiple of 1024.
    static constexpr int kOut = kStages * kStageBytes;
    static constexpr int kFactors = kOut + kOutBytes;
    static constexpr int kFull = kFactors + kFactorBytes;
    static constexpr int kEmpty = kFull + 8 * kStages;
    static constexpr int kResidual = kEmpty + 8 * kStages;
    static constexpr int kSums = kResidual + 8 * kWarpgroups * kPieces;
    static constexpr int kSharedBytes = kSums + 16 + 1024;
    static_assert(kSharedBytes <= 232448 && kOut % 1024 == 0 && kPieceBytes % 1024 == 0);
    static_assert(kFull % 8 == 0 && kTokens % kPiece == 0 && (kMulticast == 1 || kSplit == 1));
};

}  // namespace quarot::kernels::cuda
