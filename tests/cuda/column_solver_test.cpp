// The steps of GPTQ on a GPU, each against host arithmetic in fp64.
#include "kernels/column_solver.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>

#include "cuda/gpu.h"
#include "kernels/backend.h"
#include "linalg/cholesky.h"
#include "quantize/rounding/gptq_reference_for_tests.h"

namespace quarot::cuda_test {
namespace {

using kernels::Columns;
using kernels::RowGrid;

std::vector<int32_t> in_order(int64_t n) {
    std::vector<int32_t> order(static_cast<size_t>(n));
    std::iota(order.begin(), order.end(), 0);
    return order;
}

class ColumnSolverTest : public OnGpu {
  protected:
    void SetUp() override {
        OnGpu::SetUp();
        if (IsSkipped()) return;
        backend_ = kernels::make_backend("cuda", {});
        maker_ = kernels::column_solver_maker(*backend_);
        ASSERT_NE(maker_, nullptr);
        solver_ = maker_->make_column_solver();
    }
    // The sums of `count` tokens in the memory of the GPU.
    kernels::HessianSums upload(const std::vector<double>& sums, int64_t n, double count) {
        const auto bytes = static_cast<int64_t>(sums.size() * sizeof(double));
        memory_ = backend_->allocate(bytes);
        backend_->upload(memory_.data(), sums.data(), bytes);
        return {static_cast<const double*>(memory_.data()), n, count};
    }
    // Of a Hessian as it is, in its own order.
    std::vector<double> factor(const std::vector<double>& hessian, int64_t n) {
        std::vector<double> diagonal;
        for (int64_t i = 0; i < n; ++i) diagonal.push_back(hessian[i * (n + 1)]);
        return solver_->factor(
            {.hessian = upload(hessian, n, 1.0), .order = in_order(n), .diagonal = diagonal});
    }
    // A weight with whole numbers, all columns of one group, a grid of whole numbers.
    void load(const std::vector<float>& rows, int64_t n, std::span<const int32_t> order,
              std::span<const uint8_t> dead) {
        const auto n_rows = static_cast<int64_t>(rows.size()) / n;
        solver_->load({.rows = rows,
                       .n_rows = n_rows,
                       .order = order,
                       .dead = dead,
                       .n_codes = n,
                       .group_width = n,
                       .bits = 4});
        solver_->set_grids(0, std::vector<RowGrid>(static_cast<size_t>(n_rows), {1.0f, -8.0f}));
    }

    std::unique_ptr<kernels::Backend> backend_;
    kernels::ColumnSolverMaker* maker_ = nullptr;
    std::unique_ptr<kernels::ColumnSolver> solver_;
    kernels::Buffer memory_;
};

std::vector<double> damped(std::vector<double> hessian, int64_t n) {
    for (int64_t i = 0; i < n; ++i) hessian[i * (n + 1)] += 0.05;
    return hessian;
}

// U of the host, and the device's by what it does: with errors 1 in column i alone, column j loses
// U_ij.
TEST_F(ColumnSolverTest, FactorsAsTheHostDoes) {
    for (const int64_t n : {1, 2, 63, 64, 65, 127, 128, 129, 200, 576, 1000}) {
        SCOPED_TRACE(n);
        const std::vector<double> hessian =
            damped(quantize::correlated_hessian(n, static_cast<uint32_t>(n)), n);
        std::vector<double> u = hessian;
        ThreadPool pool(2);
        ASSERT_TRUE(linalg::inverse_cholesky(u, n, pool));
        const std::vector<double> diagonal = factor(hessian, n);
        ASSERT_EQ(std::ssize(diagonal), n);
        for (int64_t i = 0; i < n; ++i) {
            ASSERT_NEAR(diagonal[i], u[i * (n + 1)], 1e-9 * u[i * (n + 1)]) << i;
        }
        // One row for each place: row r has a 1 at column r, taken as its error.
        std::vector<float> rows(static_cast<size_t>(n * n), 0.0f);
        for (int64_t r = 0; r < n; ++r) rows[r * (n + 1)] = 1.0f;
        for (int64_t i = 0; i + 1 < n; i += 37) {
            load(rows, n, in_order(n), std::vector<uint8_t>(static_cast<size_t>(n), 0));
            solver_->correct({i + 1, n}, {i, i + 1});
            const std::vector<float> after = solver_->read({i + 1, n});
            const int64_t width = n - i - 1;
            for (int64_t j = 0; j < width; ++j) {
                const double expected = -u[i * n + i + 1 + j];
                ASSERT_NEAR(after[i * width + j], expected, 1e-6 * std::abs(expected) + 1e-9)
                    << i << ' ' << j;
                if (i > 0) {
                    ASSERT_EQ(after[j], 0.0f) << "row 0 has no error in column " << i;
                }
            }
        }
    }
}

// Sums of five tokens, columns in another order, a diagonal of its own.
TEST_F(ColumnSolverTest, FactorsTheMeanInSolveOrderWithTheGivenDiagonal) {
    const int64_t n = 301;
    const std::vector<double> hessian = quantize::correlated_hessian(n, 6);
    std::vector<double> sums = hessian, u, diagonal;
    for (double& sum : sums) sum *= 5.0;
    std::vector<int32_t> order;
    for (int32_t i = 0; i < n; ++i) order.push_back((i * 11 + 4) % 301);
    for (const int32_t row : order) {
        for (const int32_t column : order) u.push_back(hessian[row * n + column]);
        diagonal.push_back(hessian[row * (n + 1)] + 0.5);
    }
    for (int64_t i = 0; i < n; ++i) u[i * (n + 1)] = diagonal[i];
    ThreadPool pool(2);
    ASSERT_TRUE(linalg::inverse_cholesky(u, n, pool));
    const std::vector<double> found =
        solver_->factor({.hessian = upload(sums, n, 5.0), .order = order, .diagonal = diagonal});
    ASSERT_EQ(std::ssize(found), n);
    for (int64_t i = 0; i < n; ++i) {
        ASSERT_NEAR(found[i], u[i * (n + 1)], 1e-9 * u[i * (n + 1)]) << i;
    }
}

TEST_F(ColumnSolverTest, GivesTheMeanAsItsDiagonalAndAsAMatrixOfFloats) {
    const int64_t n = 515;
    std::vector<double> sums(static_cast<size_t>(n * n));
    for (size_t i = 0; i < sums.size(); ++i) sums[i] = std::cos(static_cast<double>(i));
    const kernels::HessianSums hessian = upload(sums, n, 7.0);
    const std::vector<double> diagonal = maker_->diagonal(hessian);
    ASSERT_EQ(std::ssize(diagonal), n);
    for (int64_t i = 0; i < n; ++i) ASSERT_EQ(diagonal[i], sums[i * (n + 1)] / 7.0) << i;
    // Times the unit matrix, so that row i of the product is column i of the matrix.
    const auto linear = maker_->prepare_hessian(hessian);
    std::vector<float> unit(sums.size(), 0.0f), product(sums.size());
    for (int64_t i = 0; i < n; ++i) unit[i * (n + 1)] = 1.0f;
    const auto bytes = static_cast<int64_t>(unit.size() * sizeof(float));
    const kernels::Buffer in = backend_->allocate(bytes), out = backend_->allocate(bytes);
    backend_->upload(in.data(), unit.data(), bytes);
    backend_->linear({.in = kernels::Operand{kernels::Rows{in.data(), DType::F32, n, n, n}},
                      .weight = *linear,
                      .out = {out.data(), DType::F32, n, n, n}});
    backend_->download(product.data(), out.data(), bytes);
    backend_->synchronize();
    for (int64_t i = 0; i < n; ++i) {
        for (int64_t j = 0; j < n; ++j) {
            ASSERT_EQ(product[i * n + j], static_cast<float>(sums[j * n + i] / 7.0))
                << i << ' ' << j;
        }
    }
}

TEST_F(ColumnSolverTest, WhatIsNotPositiveDefiniteHasNoFactor) {
    for (const int64_t n : {3, 100, 257}) {
        std::vector<double> hessian = damped(quantize::correlated_hessian(n, 3), n);
        EXPECT_FALSE(factor(hessian, n).empty());
        hessian[(n - 2) * (n + 1)] = -1.0;
        EXPECT_TRUE(factor(hessian, n).empty());
        EXPECT_TRUE(factor(std::vector<double>(n * n, 1.0), n).empty());
        EXPECT_FALSE(factor(damped(quantize::correlated_hessian(n, 3), n), n).empty())
            << "the next one is factored";
    }
}

TEST_F(ColumnSolverTest, ColumnsStandInSolveOrderAndDeadOnesAreZeros) {
    for (const auto& [n, n_rows] : {std::pair<int64_t, int64_t>{33, 1}, {70, 65}, {129, 300}}) {
        SCOPED_TRACE(fmt::format("{} columns, {} rows", n, n_rows));
        ASSERT_FALSE(factor(damped(quantize::correlated_hessian(n, 4), n), n).empty());
        std::vector<float> rows(static_cast<size_t>(n * n_rows));
        std::iota(rows.begin(), rows.end(), 1.0f);
        std::vector<int32_t> order = in_order(n);
        std::ranges::reverse(order);
        std::vector<uint8_t> dead(static_cast<size_t>(n), 0);
        dead[5] = dead[n - 1] = 1;
        load(rows, n, order, dead);
        const std::vector<float> all = solver_->read({0, n});
        const std::vector<float> some = solver_->read({3, 31});
        for (int64_t r = 0; r < n_rows; ++r) {
            for (int64_t i = 0; i < n; ++i) {
                const float expected = dead[i] == 1 ? 0.0f : rows[r * n + order[i]];
                ASSERT_EQ(all[r * n + i], expected) << r << ' ' << i;
                if (i >= 3 && i < 31) {
                    ASSERT_EQ(some[r * 28 + i - 3], expected);
                }
            }
        }
    }
}

// Halves go to the even neighbour, what lies outside is clamped, codes stand in column order.
TEST_F(ColumnSolverTest, RoundsToTheGrid) {
    const int64_t n = 64, n_rows = 200;
    std::vector<double> identity(n * n, 0.0);
    for (int64_t i = 0; i < n; ++i) identity[i * (n + 1)] = 4.0;
    ASSERT_FALSE(factor(identity, n).empty());
    std::vector<float> rows;
    std::mt19937 engine(7);
    for (int64_t i = 0; i < n * n_rows; ++i) {
        rows.push_back(static_cast<float>(static_cast<int>(engine() % 50) - 25) * 0.5f);
    }
    std::vector<int32_t> order = in_order(n);
    std::ranges::reverse(order);
    load(rows, n, order, std::vector<uint8_t>(n, 0));
    solver_->round({0, n});
    const std::vector<uint8_t> codes = solver_->codes();
    const std::vector<float> errors = solver_->read({0, n});
    ASSERT_EQ(codes.size(), rows.size());
    for (int64_t r = 0; r < n_rows; ++r) {
        for (int64_t i = 0; i < n; ++i) {
            const float w = rows[r * n + order[i]];
            const float q = std::nearbyint(std::clamp(w, -8.0f, 7.0f));
            ASSERT_EQ(codes[r * n + order[i]], static_cast<uint8_t>(q + 8.0f)) << w;
            ASSERT_FLOAT_EQ(errors[r * n + i], (w - q) * 2.0f) << "U_ii is 1 / 2";
        }
    }
}

TEST_F(ColumnSolverTest, ANumberThatIsNotFiniteIsSeen) {
    const int64_t n = 40;
    ASSERT_FALSE(factor(damped(quantize::correlated_hessian(n, 4), n), n).empty());
    std::vector<float> rows(3 * n, 0.5f);
    const std::vector<uint8_t> dead(n, 0);
    load(rows, n, in_order(n), dead);
    solver_->round({0, n});
    EXPECT_FALSE(solver_->codes().empty());
    rows[2 * n + 17] = INFINITY;
    load(rows, n, in_order(n), dead);
    solver_->round({0, n});
    EXPECT_TRUE(solver_->codes().empty());
    rows[2 * n + 17] = 0.0f;
    load(rows, n, in_order(n), dead);
    solver_->round({0, n});
    EXPECT_FALSE(solver_->codes().empty()) << "the next weight is judged by itself";
}

TEST_F(ColumnSolverTest, TheHostsBackendHasNone) {
    EXPECT_EQ(kernels::column_solver_maker(*kernels::make_backend("cpu", {})), nullptr);
}

}  // namespace
}  // namespace quarot::cuda_test
