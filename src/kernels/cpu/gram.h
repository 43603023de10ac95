// One tile of a Gram matrix: fp32 sums over a run of rows, added to fp64 totals.
#pragma once

#include <cstdint>

#include "kernels/cpu/fma_tile.h"
#include "kernels/cpu/isa_kernels.h"

namespace quarot::kernels::cpu {

template <class S>
static void gram_tile(const GramTile& tile) {
    constexpr int kRows = S::kGramRows, kVectors = S::kGramVectors, kColumns = 16 * kVectors;
    float sums[kRows][kColumns];
    for (int64_t row = 0; row < tile.n_rows; row += kRows) {
        const int64_t rows = tile.n_rows - row < kRows ? tile.n_rows - row : kRows;
        const int64_t end =
            tile.lower_only && row + rows < tile.n_columns ? row + rows : tile.n_columns;
        for (int64_t column = 0; column < end; column += kColumns) {
            const int64_t columns = end - column < kColumns ? end - column : kColumns;
            fma_at_most<S, kRows, kVectors>({.a = tile.a + row,
                                             .lda = 1,
                                             .b = tile.b + column,
                                             .ldb = kGramPanel,
                                             .depth = tile.depth,
                                             .factors = nullptr,
                                             .c = sums[0],
                                             .ldc = kColumns,
                                             .a_step = kGramPanel},
                                            rows, (columns + 15) / 16);
            for (int64_t r = 0; r < rows; ++r) {
                double* to = tile.gram + (row + r) * tile.stride + column;
                for (int64_t c = 0; c < columns; ++c) to[c] += static_cast<double>(sums[r][c]);
            }
        }
    }
}

}  // namespace quarot::kernels::cpu
