#include "folder/value_checks.h"

#include <cmath>
#include <optional>

#include "core/check.h"
#include "core/error.h"
#include "tensor/float_convert.h"

namespace quarot::folder {

namespace {

// Index of the first element whose exponent bits are all ones. Blocks are first tested as a whole
// by a loop without branches, so that loading stays as fast as memory.
template <typename Bits>
std::optional<int64_t> first_with_full_exponent(const Bits* bits, int64_t n, Bits exponent) {
    constexpr int64_t kBlock = 4096;
    for (int64_t first = 0; first < n; first += kBlock) {
        const int64_t last = std::min(n, first + kBlock);
        Bits n_found = 0;
        for (int64_t i = first; i < last; ++i) {
            n_found = static_cast<Bits>(n_found + ((bits[i] & exponent) == exponent ? 1 : 0));
        }
        if (n_found == 0) continue;
        for (int64_t i = first; i < last; ++i) {
            if ((bits[i] & exponent) == exponent) return i;
        }
    }
    return std::nullopt;
}

std::optional<int64_t> first_non_finite(const Tensor& tensor) {
    const int64_t n = element_count(tensor.shape());
    switch (tensor.dtype()) {
        case DType::F32:
            return first_with_full_exponent<uint32_t>(tensor.as<uint32_t>(), n, 0x7f800000u);
        case DType::F16:
            return first_with_full_exponent<uint16_t>(tensor.as<uint16_t>(), n, 0x7c00u);
        case DType::BF16:
            return first_with_full_exponent<uint16_t>(tensor.as<uint16_t>(), n, 0x7f80u);
        default:
            check_failed(__FILE__, __LINE__, "a float dtype", "");
    }
}

float value_at(const Tensor& tensor, int64_t index) {
    float value = 0.0f;
    widen(tensor.dtype(), tensor.data() + index * size_of(tensor.dtype()), {&value, 1});
    return value;
}

}  // namespace

void check_finite(const Tensor& tensor, const TensorOrigin& origin) {
    const auto bad = first_non_finite(tensor);
    if (!bad) return;
    const float value = value_at(tensor, *bad);
    if (tensor.shape().size() < 2) {
        fail(ErrorCode::Corrupt, "{}: tensor {} has {} at index {}, expected finite numbers",
             origin.file, origin.name, value, *bad);
    }
    fail(ErrorCode::Corrupt, "{}: tensor {} has {} at row {}, column {}, expected finite numbers",
         origin.file, origin.name, value, *bad / tensor.cols(), *bad % tensor.cols());
}

void check_scales(const QuantizedMatrix& matrix, const TensorOrigin& origin) {
    for (int64_t row = 0; row < matrix.rows; ++row) {
        for (int64_t group = 0; group < matrix.n_groups(); ++group) {
            const float scale = matrix.scale(row, group);
            if (std::isfinite(scale) && scale > 0.0f) continue;
            fail(ErrorCode::Corrupt,
                 "{}: tensor {}.weight_scale has {} at row {}, column {}, expected finite numbers "
                 "above 0",
                 origin.file, origin.name, scale, row, group);
        }
    }
}

void check_zero_points(const QuantizedMatrix& matrix, const TensorOrigin& origin) {
    const int max = (1 << matrix.bits) - 1;
    for (int64_t row = 0; row < matrix.rows; ++row) {
        for (int64_t group = 0; group < matrix.n_groups(); ++group) {
            const int zero = matrix.zero(row, group);
            if (zero <= max) continue;
            fail(ErrorCode::Corrupt,
                 "{}: tensor {}.weight_zero_point has {} at row {}, column {}, expected at most {} "
                 "for {} bits",
                 origin.file, origin.name, zero, row, group, max, matrix.bits);
        }
    }
}

void check_clip(float clip, const TensorOrigin& origin) {
    if (clip > 0.0f && clip <= 1.0f) return;
    fail(ErrorCode::Corrupt, "{}: tensor {} is {}, expected a ratio above 0 and at most 1",
         origin.file, origin.name, clip);
}

void check_permutation(const Tensor& tensor, const TensorOrigin& origin) {
    const int64_t n = element_count(tensor.shape());
    std::vector<bool> seen(static_cast<size_t>(n));
    for (int64_t i = 0; i < n; ++i) {
        const int32_t column = tensor.as<int32_t>()[i];
        if (column < 0 || column >= n || seen[static_cast<size_t>(column)]) {
            fail(ErrorCode::Corrupt,
                 "{}: tensor {} has {} at index {}, expected every column from 0 to {} once",
                 origin.file, origin.name, column, i, n - 1);
        }
        seen[static_cast<size_t>(column)] = true;
    }
}

}  // namespace quarot::folder
