#include "linalg/blas.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace quarot::linalg {
namespace {

std::vector<double> random_integers(int64_t count, uint32_t seed) {
    std::mt19937 generator(seed);
    std::vector<double> values(count);
    for (double& value : values) value = static_cast<double>(generator() % 17) - 8.0;
    return values;
}

// Small integers, so every order of summation gives the same number.
TEST(Blas, MultiplyIsTheRowMajorProductForEachTransposition) {
    const int64_t m = 5;
    const int64_t n = 7;
    const int64_t k = 3;
    for (const bool transpose_a : {false, true}) {
        for (const bool transpose_b : {false, true}) {
            const auto a = random_integers(m * k, 1);
            const auto b = random_integers(k * n, 2);
            std::vector<double> c(m * n, 99.0);
            multiply(transpose_a, transpose_b, m, n, k, a.data(), b.data(), c.data());
            for (int64_t i = 0; i < m; ++i) {
                for (int64_t j = 0; j < n; ++j) {
                    double expected = 0.0;
                    for (int64_t l = 0; l < k; ++l) {
                        expected += (transpose_a ? a[l * m + i] : a[i * k + l]) *
                                    (transpose_b ? b[j * k + l] : b[l * n + j]);
                    }
                    EXPECT_EQ(c[i * n + j], expected) << transpose_a << transpose_b << i << j;
                }
            }
        }
    }
}

TEST(Blas, MultiplyByUpperReadsNothingBelowTheDiagonal) {
    const int64_t m = 3;
    const int64_t n = 5;
    const auto u = random_integers(n * n, 6);
    const auto before = random_integers(m * n, 7);
    for (const bool transpose : {false, true}) {
        std::vector<double> b = before;
        multiply_by_upper(transpose, m, n, u.data(), b.data());
        for (int64_t i = 0; i < m; ++i) {
            for (int64_t j = 0; j < n; ++j) {
                double expected = 0.0;
                for (int64_t k = 0; k < n; ++k) {
                    const double factor =
                        transpose ? (k >= j ? u[j * n + k] : 0.0) : (k <= j ? u[k * n + j] : 0.0);
                    expected += before[i * n + k] * factor;
                }
                EXPECT_EQ(b[i * n + j], expected) << transpose << i << j;
            }
        }
    }
}

TEST(Blas, SubtractProductReadsRowsAtTheirStride) {
    const int64_t m = 5;
    const int64_t n = 7;
    const int64_t k = 3;
    const int64_t stride = 9;
    const auto a = random_integers(k * stride, 3);
    const auto b = random_integers(k * n, 4);
    const auto before = random_integers(m * n, 5);
    std::vector<double> c = before;
    subtract_product(
        {.m = m, .n = n, .k = k, .a = a.data(), .a_stride = stride, .b = b.data(), .c = c.data()});
    for (int64_t i = 0; i < m; ++i) {
        for (int64_t j = 0; j < n; ++j) {
            double expected = before[i * n + j];
            for (int64_t l = 0; l < k; ++l) expected -= a[l * stride + i] * b[l * n + j];
            EXPECT_EQ(c[i * n + j], expected) << i << ' ' << j;
        }
    }
}

TEST(Blas, EmptyInnerDimensionGivesZeros) {
    std::vector<double> c(4, 99.0);
    multiply(false, false, 2, 2, 0, nullptr, nullptr, c.data());
    EXPECT_EQ(c, std::vector<double>(4, 0.0));
}

}  // namespace
}  // namespace quarot::linalg
