#include "linalg/cholesky.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "linalg/blas.h"

namespace quarot::linalg {
namespace {

constexpr int64_t kSizes[] = {1, 2, 7, 255, 256, 257, 600};

// X^T X / n + I / 10, exactly symmetric.
std::vector<double> positive_definite(int64_t n, uint32_t seed) {
    std::mt19937 generator(seed);
    std::uniform_real_distribution<double> uniform(-1.0, 1.0);
    std::vector<double> x(static_cast<size_t>(n * n)), h(x.size());
    for (double& value : x) value = uniform(generator);
    multiply(true, false, n, n, n, x.data(), x.data(), h.data());
    for (int64_t i = 0; i < n; ++i) {
        for (int64_t j = 0; j <= i; ++j) {
            const double value = h[i * n + j] / static_cast<double>(n) + (i == j ? 0.1 : 0.0);
            h[i * n + j] = h[j * n + i] = value;
        }
    }
    return h;
}

std::vector<double> inverse_factor(std::vector<double> h, int64_t n, int n_threads) {
    ThreadPool pool(n_threads);
    EXPECT_TRUE(inverse_cholesky(h, n, pool)) << n;
    return h;
}

bool has_inverse_factor(std::vector<double> h, int64_t n) {
    ThreadPool pool(2);
    return inverse_cholesky(h, n, pool);
}

TEST(InverseCholesky, IsUpperTriangularWithAPositiveDiagonal) {
    for (const int64_t n : kSizes) {
        const auto u = inverse_factor(positive_definite(n, 1), n, 2);
        for (int64_t i = 0; i < n; ++i) {
            EXPECT_GT(u[i * n + i], 0.0);
            for (int64_t j = 0; j < i; ++j) ASSERT_EQ(u[i * n + j], 0.0) << i << " " << j;
        }
    }
}

// h^-1 = U^T U is the same as U h U^T = I. The condition number is below 20.
TEST(InverseCholesky, TurnsTheMatrixIntoTheIdentity) {
    for (const int64_t n : kSizes) {
        const auto h = positive_definite(n, 2);
        const auto u = inverse_factor(h, n, 2);
        std::vector<double> product(h.size()), identity(h.size());
        multiply(false, false, n, n, n, u.data(), h.data(), product.data());
        multiply(false, true, n, n, n, product.data(), u.data(), identity.data());
        double largest = 0.0;
        for (int64_t i = 0; i < n * n; ++i) {
            const double error = std::fabs(identity[i] - (i % (n + 1) == 0 ? 1.0 : 0.0));
            largest = std::max(largest, error);
        }
        EXPECT_LT(largest, 1e-13 * std::sqrt(static_cast<double>(n)) + 1e-14) << n;
    }
}

// h = [[4, 2], [2, 5]]: h^-1 = [[5, -2], [-2, 4]] / 16.
TEST(InverseCholesky, OfTwoByTwoIsTheOneByHand) {
    const auto u = inverse_factor({4.0, 2.0, 2.0, 5.0}, 2, 1);
    EXPECT_NEAR(u[0], std::sqrt(5.0) / 4.0, 1e-15);
    EXPECT_NEAR(u[1], -0.5 / std::sqrt(5.0), 1e-15);
    EXPECT_EQ(u[2], 0.0);
    EXPECT_NEAR(u[3], 1.0 / std::sqrt(5.0), 1e-15);
}

TEST(InverseCholesky, HasTheSameBitsForAnyNumberOfThreads) {
    for (const int64_t n : {257, 600, 1025}) {
        const auto h = positive_definite(n, 3);
        const auto one = inverse_factor(h, n, 1);
        for (const int n_threads : {2, 3}) {
            const auto other = inverse_factor(h, n, n_threads);
            EXPECT_EQ(std::memcmp(one.data(), other.data(), one.size() * sizeof(double)), 0)
                << n << ", " << n_threads << " threads";
        }
    }
}

TEST(InverseCholesky, RefusesAnIndefiniteMatrix) {
    for (const int64_t n : kSizes) {
        for (const int64_t at : {int64_t{0}, n / 2, n - 1}) {
            auto h = positive_definite(n, 4);
            h[at * n + at] = -1.0;
            EXPECT_FALSE(has_inverse_factor(h, n)) << n << " " << at;
        }
    }
}

// Small integers, so that the vanishing pivot is exactly 0.
TEST(InverseCholesky, RefusesASingularMatrix) {
    EXPECT_FALSE(has_inverse_factor({0.0}, 1));
    EXPECT_FALSE(has_inverse_factor({4.0, 2.0, 2.0, 1.0}, 2));
    for (const int64_t n : kSizes) {
        auto h = positive_definite(n, 5);
        const int64_t dead = n / 2;
        for (int64_t i = 0; i < n; ++i) h[i * n + dead] = h[dead * n + i] = 0.0;
        EXPECT_FALSE(has_inverse_factor(h, n)) << n;
    }
}

TEST(InverseCholesky, RefusesWhatIsNotFinite) {
    const double bad[] = {std::numeric_limits<double>::quiet_NaN(),
                          std::numeric_limits<double>::infinity(),
                          -std::numeric_limits<double>::infinity()};
    for (const int64_t n : kSizes) {
        for (const double value : bad) {
            auto on_diagonal = positive_definite(n, 6);
            on_diagonal[n * n - 1] = value;
            EXPECT_FALSE(has_inverse_factor(on_diagonal, n)) << n << " " << value;
            auto beside = positive_definite(n, 6);
            beside[n - 1] = beside[(n - 1) * n] = value;
            EXPECT_FALSE(has_inverse_factor(beside, n)) << n << " " << value;
        }
    }
}

}  // namespace
}  // namespace quarot::linalg
