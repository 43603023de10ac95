#include "linalg/symmetric_eigen.h"

#include <gtest/gtest.h>

#include <cmath>

#include "linalg/blas.h"
#include "linalg/orthogonal.h"

namespace quarot::linalg {
namespace {

// Q^T diag(values) Q: row i of Q is the eigenvector of values[i].
std::vector<double> matrix_with(const std::vector<double>& q, const std::vector<double>& values) {
    const auto n = std::ssize(values);
    std::vector<double> scaled = q, a(q.size());
    for (int64_t i = 0; i < n * n; ++i) {
        scaled[static_cast<size_t>(i)] *= values[static_cast<size_t>(i / n)];
    }
    multiply(true, false, n, n, n, q.data(), scaled.data(), a.data());
    return a;
}

TEST(LeadingEigenvectors, AreThoseThatTheMatrixWasMadeOf) {
    constexpr int64_t kOrder = 37, kWanted = 5;
    const std::vector<double> q = random_orthogonal(kOrder, 3);
    std::vector<double> values;
    for (int64_t i = 0; i < kOrder; ++i) {  // in no order; the five largest stand at i * 7 % 37 < 5
        values.push_back(100.0 - static_cast<double>(i * 7 % kOrder));
    }
    const auto found = leading_eigenvectors(matrix_with(q, values), kOrder, kWanted);
    ASSERT_EQ(std::ssize(found), kWanted * kOrder);
    for (int64_t k = 0; k < kWanted; ++k) {
        int64_t of = 0;
        while (of * 7 % kOrder != k) ++of;
        double dot = 0.0;
        for (int64_t j = 0; j < kOrder; ++j) {
            dot += found[static_cast<size_t>(k * kOrder + j)] *
                   q[static_cast<size_t>(of * kOrder + j)];
        }
        EXPECT_NEAR(std::fabs(dot), 1.0, 1e-12) << k;
    }
}

TEST(LeadingEigenvectors, AreTheSameBitsAgain) {
    const std::vector<double> q = random_orthogonal(150, 9);
    std::vector<double> values;
    for (int i = 0; i < 150; ++i) values.push_back(1.0 + 0.01 * i);
    const std::vector<double> a = matrix_with(q, values);
    EXPECT_EQ(leading_eigenvectors(a, 150, 9), leading_eigenvectors(a, 150, 9));
}

}  // namespace
}  // namespace quarot::linalg
