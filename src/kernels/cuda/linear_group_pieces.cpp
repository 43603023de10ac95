#include "kernels/cuda/linear_group_pieces.h"

#include <algorithm>

#include "core/checked_math.h"

namespace quarot::kernels::cuda {

namespace {

constexpr int64_t kWholeRow = 0, kOther = -1;

// Of a group that the kernels take.
int64_t group_columns(int64_t group_size, int64_t n_groups) {
    if (n_groups == 1) return kWholeRow;
    return group_size == 32 || group_size == 64 || group_size == 128 ? group_size : kOther;
}

int64_t row_columns(const LinearProduct& p) {
    return group_columns(p.weight.shape.group_size, p.weight.shape.n_groups());
}
int64_t token_columns(const LinearProduct& p) {
    return group_columns(p.in.group_size, p.in.n_groups());
}

int shift_of(int64_t columns, int64_t piece) {
    if (columns == kWholeRow) return 31;
    return columns == piece ? 0 : columns == 2 * piece ? 1 : 2;
}

}  // namespace

bool has_small_groups(const LinearProduct& p) {
    const int64_t rows = row_columns(p), tokens = token_columns(p);
    return p.weight.shape.bits == 4 && rows != kOther && tokens != kOther &&
           (rows != kWholeRow || tokens != kWholeRow);
}

int64_t piece_columns(const LinearProduct& p) {
    const int64_t rows = row_columns(p), tokens = token_columns(p);
    if (rows == kWholeRow) return tokens;
    return tokens == kWholeRow ? rows : std::min(rows, tokens);
}

PieceGroups piece_groups(const LinearProduct& p) {
    const int64_t piece = piece_columns(p);
    return {.of_row = static_cast<int>(p.weight.shape.n_groups()),
            .of_token = static_cast<int>(p.in.n_groups()),
            .row_shift = shift_of(row_columns(p), piece),
            .token_shift = shift_of(token_columns(p), piece),
            .pieces = static_cast<int>(p.in.cols / piece)};
}

bool has_multiples(const LinearProduct& p) {
    return p.in.multiples != nullptr && p.weight.shape.bits <= 4 && row_columns(p) != kOther;
}

int64_t multiple_piece_columns(const LinearProduct& p) {
    const int64_t columns = row_columns(p);
    return columns == kWholeRow ? 128 : columns;
}

PieceGroups multiple_pieces(const LinearProduct& p) {
    const int64_t piece = multiple_piece_columns(p);
    return {.of_row = static_cast<int>(p.weight.shape.n_groups()),
            .of_token = 1,
            .row_shift = shift_of(row_columns(p), piece),
            .token_shift = shift_of(kWholeRow, piece),
            .pieces = static_cast<int>(ceil_div(p.in.cols, piece))};
}

}  // namespace quarot::kernels::cuda
