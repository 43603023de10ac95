// Seeded matrices of every temper a backend may meet, and comparisons that name the first element
// that differs.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "kernels/ops.h"
#include "tensor/quantized_matrix.h"

namespace quarot::backend_test {

using Rng = std::mt19937;

struct Matrix {
    Matrix() = default;
    Matrix(int64_t r, int64_t c) : rows(r), cols(c), values(static_cast<size_t>(r * c)) {}
    float* row(int64_t r) { return values.data() + r * cols; }
    const float* row(int64_t r) const { return values.data() + r * cols; }
    Matrix slice(int64_t first, int64_t count) const;

    int64_t rows = 0;
    int64_t cols = 0;
    std::vector<float> values;
};

enum class Temper {
    Normal,    // standard normal
    Outliers,  // normal, a few elements 300 times as large
    Zeros,
    Constant,   // one value all over a row
    FarOff,     // a narrow band around a value far from 0
    Ties,       // codes of a 4-bit scale fall exactly between two integers
    Huge,       // up to 1e38
    Overflow,   // +-3e38: the width of the range does not fit fp32
    Subnormal,  // down to the smallest positive number
    NanInside,  // normal, one NaN in some rows
    InfInside,  // normal, one Inf in some rows
};
inline constexpr std::array kTempers = {Temper::Normal,    Temper::Outliers, Temper::Zeros,
                                        Temper::Constant,  Temper::FarOff,   Temper::Ties,
                                        Temper::Huge,      Temper::Overflow, Temper::Subnormal,
                                        Temper::NanInside, Temper::InfInside};

Matrix make_matrix(Temper temper, int64_t rows, int64_t cols, Rng& rng);
inline Matrix normal_matrix(int64_t rows, int64_t cols, Rng& rng) {
    return make_matrix(Temper::Normal, rows, cols, rng);
}
std::vector<float> normal_vector(int64_t n, Rng& rng);

// Random codes over the whole range of `bits`, extremes included.
QuantizedMatrix random_quantized(int64_t out, int64_t in, int bits, int64_t group_size,
                                 bool symmetric, Rng& rng);
std::shared_ptr<const Tensor> random_dense(int64_t out, int64_t in, DType dtype, Rng& rng);
// fp32 values of a dense tensor [rows, cols].
Matrix values_of(const Tensor& tensor);

// Equal values; a NaN equals a NaN, -0 equals 0.
testing::AssertionResult same(std::span<const float> expected, std::span<const float> actual);
testing::AssertionResult same(std::span<const int32_t> expected, std::span<const int32_t> actual);
testing::AssertionResult same(std::span<const int8_t> expected, std::span<const int8_t> actual);

// |expected - actual| <= limit(index).
testing::AssertionResult near(std::span<const float> expected, std::span<const float> actual,
                              const std::function<double(size_t)>& limit);

}  // namespace quarot::backend_test
