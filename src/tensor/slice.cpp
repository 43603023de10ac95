#include "tensor/slice.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "core/check.h"

namespace quarot {

namespace {

// Codes, scales and zero points of as many rows as `pick` makes of each.
template <class Pick>
QuantizedMatrix with_rows(const QuantizedMatrix& matrix, int64_t count, const Pick& pick) {
    QuantizedMatrix part;
    part.rows = count;
    part.cols = matrix.cols;
    part.bits = matrix.bits;
    part.group_size = matrix.group_size;
    part.symmetric = matrix.symmetric;
    part.packed = pick(matrix.packed);
    part.scales = pick(matrix.scales);
    if (!matrix.symmetric) part.zero_points = pick(matrix.zero_points);
    return part;
}

}  // namespace

Tensor rows_of(const Tensor& matrix, int64_t first, int64_t count) {
    QUAROT_CHECK(first >= 0 && count > 0 && first + count <= matrix.rows(), "{} {}", first, count);
    Tensor part(matrix.dtype(), {count, matrix.cols()});
    const int64_t row_bytes = matrix.cols() * size_of(matrix.dtype());
    std::memcpy(part.data(), matrix.data() + first * row_bytes,
                static_cast<size_t>(count * row_bytes));
    return part;
}

Tensor columns_of(const Tensor& matrix, int64_t first, int64_t count) {
    QUAROT_CHECK(first >= 0 && count > 0 && first + count <= matrix.cols(), "{} {}", first, count);
    Tensor part(matrix.dtype(), {matrix.rows(), count});
    const int64_t element = size_of(matrix.dtype());
    for (int64_t row = 0; row < matrix.rows(); ++row) {
        std::memcpy(part.data() + row * count * element,
                    matrix.data() + (row * matrix.cols() + first) * element,
                    static_cast<size_t>(count * element));
    }
    return part;
}

QuantizedMatrix rows_of(const QuantizedMatrix& matrix, int64_t first, int64_t count) {
    return with_rows(matrix, count,
                     [&](const Tensor& tensor) { return rows_of(tensor, first, count); });
}

QuantizedMatrix columns_of(const QuantizedMatrix& matrix, int64_t first, int64_t count) {
    QUAROT_CHECK(first >= 0 && count > 0 && first + count <= matrix.cols, "{} {}", first, count);
    QuantizedMatrix part =
        make_quantized_matrix(matrix.rows, count, matrix.bits, matrix.group_size, matrix.symmetric);
    const int64_t group = matrix.group_size == 0 ? matrix.cols : matrix.group_size;
    QUAROT_CHECK(matrix.group_size == 0 || first % group == 0, "{} {}", first, group);
    part.scales = columns_of(matrix.scales, first / group, part.n_groups());
    if (!matrix.symmetric) {
        part.zero_points = columns_of(matrix.zero_points, first / group, part.n_groups());
    }
    std::vector<uint8_t> codes(static_cast<size_t>(matrix.cols));
    for (int64_t row = 0; row < matrix.rows; ++row) {
        matrix.unpack_row(row, codes);
        part.pack_row(
            row, std::span(codes).subspan(static_cast<size_t>(first), static_cast<size_t>(count)));
    }
    return part;
}

Tensor rows_at(const Tensor& matrix, std::span<const int32_t> rows) {
    Tensor picked(matrix.dtype(), {std::ssize(rows), matrix.cols()});
    const int64_t row_bytes = matrix.cols() * size_of(matrix.dtype());
    for (int64_t r = 0; r < std::ssize(rows); ++r) {
        const int64_t from = rows[static_cast<size_t>(r)];
        QUAROT_CHECK(from >= 0 && from < matrix.rows(), "{} {}", from, matrix.rows());
        std::memcpy(picked.data() + r * row_bytes, matrix.data() + from * row_bytes,
                    static_cast<size_t>(row_bytes));
    }
    return picked;
}

QuantizedMatrix rows_at(const QuantizedMatrix& matrix, std::span<const int32_t> rows) {
    return with_rows(matrix, std::ssize(rows),
                     [&](const Tensor& tensor) { return rows_at(tensor, rows); });
}

}  // namespace quarot
