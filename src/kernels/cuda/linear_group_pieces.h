// Where sums end in products with groups: every border of either side's groups cuts a row into
// pieces. The kernels for small groups take pieces of 32, 64 or 128 columns.
#pragma once

#include <cstdint>

#include "kernels/cuda/linear_product.h"

namespace quarot::kernels::cuda {

// Groups of a row of either side. A group is 2^shift pieces; a whole row has shift 31, so that
// every piece lies in group 0.
struct PieceGroups {
    int of_row, of_token;  // groups
    int row_shift, token_shift;
    int pieces;
};

// 4-bit weights; groups of 32, 64 or 128 columns on one side, and on the other too or whole rows.
bool has_small_groups(const LinearProduct& product);

// Of products with small groups.
int64_t piece_columns(const LinearProduct& product);
PieceGroups piece_groups(const LinearProduct& product);

// Tokens in multiples, which leave the weights' groups alone to divide a row: 32, 64 or 128
// columns, or whole rows, in pieces of 128.
bool has_multiples(const LinearProduct& product);

// Of products with multiples.
int64_t multiple_piece_columns(const LinearProduct& product);
PieceGroups multiple_pieces(const LinearProduct& product);

}  // namespace quarot::kernels::cuda
