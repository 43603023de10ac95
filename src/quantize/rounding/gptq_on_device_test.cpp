// GPTQ by a solver, here one of plain loops, against GPTQ on the host: the same grids, the same
// order of steps, every result in its place.
#include "quantize/rounding/gptq_on_device.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/error.h"
#include "linalg/cholesky.h"
#include "quantize/rounding/gptq.h"
#include "quantize/rounding/gptq_reference_for_tests.h"

namespace quarot::quantize {
namespace {

using kernels::RowGrid;
using kernels::SolverWeights;

class PlainSolver final : public kernels::ColumnSolver {
  public:
    std::vector<double> factor(const kernels::DampedHessian& damped) override {
        const auto& [sums, n, count] = damped.hessian;
        n_ = n;
        u_.clear();
        for (const int32_t row : damped.order) {
            for (const int32_t column : damped.order) u_.push_back(sums[row * n + column] / count);
        }
        for (int64_t i = 0; i < n; ++i) u_[i * (n + 1)] = damped.diagonal[i];
        ThreadPool pool(1);
        if (!linalg::inverse_cholesky(u_, n, pool)) return {};
        std::vector<double> diagonal;
        for (int64_t i = 0; i < n; ++i) diagonal.push_back(u(i, i));
        return diagonal;
    }
    void load(const SolverWeights& weights) override {
        n_rows_ = weights.n_rows;
        n_codes_ = weights.n_codes;
        group_width_ = weights.group_width;
        top_ = static_cast<float>((1 << weights.bits) - 1);
        order_.assign(weights.order.begin(), weights.order.end());
        columns_.assign(static_cast<size_t>(n_ * n_rows_), 0.0);
        for (int64_t i = 0; i < n_; ++i) {
            for (int64_t r = 0; r < n_rows_ && weights.dead[i] == 0; ++r) {
                at(i, r) = weights.rows[r * n_ + order_[i]];
            }
        }
        grids_.assign(static_cast<size_t>(n_codes_ / group_width_), {});
        codes_.assign(static_cast<size_t>(n_rows_ * n_codes_), 0);
        finite_ = true;
    }
    void set_grids(int64_t group, std::span<const RowGrid> grids) override {
        grids_[group].assign(grids.begin(), grids.end());
    }
    std::vector<float> read(Columns columns) override {
        std::vector<float> out;
        for (int64_t r = 0; r < n_rows_; ++r) {
            for (int64_t i = columns.begin; i < columns.end; ++i) {
                out.push_back(static_cast<float>(at(i, r)));
            }
        }
        return out;
    }
    void round(Columns columns) override {
        for (int64_t i = columns.begin; i < columns.end; ++i) {
            for (int64_t r = 0; r < n_rows_; ++r) round_one(i, r);
            correct({i + 1, columns.end}, {i, i + 1});
        }
    }
    void correct(Columns later, Columns rounded) override {
        for (int64_t j = later.begin; j < later.end; ++j) {
            for (int64_t i = rounded.begin; i < rounded.end; ++i) {
                for (int64_t r = 0; r < n_rows_; ++r) at(j, r) -= at(i, r) * u(i, j);
            }
        }
    }
    std::vector<uint8_t> codes() override { return finite_ ? codes_ : std::vector<uint8_t>{}; }

  private:
    double u(int64_t i, int64_t j) const { return u_[i * n_ + j]; }
    double& at(int64_t i, int64_t r) { return columns_[i * n_rows_ + r]; }
    void round_one(int64_t i, int64_t r) {
        const RowGrid grid = grids_[order_[i] / group_width_].at(r);
        const double w = at(i, r), scale = grid.scale, low = grid.low;
        const double q = std::clamp(std::nearbyint(w / scale), low, low + top_);
        at(i, r) = (w - scale * q) / u(i, i);
        finite_ = finite_ && std::isfinite(at(i, r));
        codes_[r * n_codes_ + order_[i]] = static_cast<uint8_t>(q - low);
    }

    int64_t n_ = 0, n_rows_ = 0, n_codes_ = 0, group_width_ = 0;
    double top_ = 0.0;
    bool finite_ = true;
    std::vector<double> u_, columns_;
    std::vector<int32_t> order_;
    std::vector<std::vector<RowGrid>> grids_;
    std::vector<uint8_t> codes_;
};

struct Site {
    int64_t n = 200;
    int64_t n_codes = 200;
    int64_t rows = 37;
    std::vector<double> hessian = correlated_hessian(n, 5);
    std::vector<float> weights = random_weights(rows * n, 6);

    WeightMatrix matrix() const { return {weights, rows, n}; }
    WeightInputs inputs() const {
        return {.site = "layer 3, the input of o_proj",
                .n_cols = n,
                .n_codes = n_codes,
                .hessian = hessian};
    }
};

std::unique_ptr<PreparedQuantizer> with_solver(const Site& site, const WeightFormat& format,
                                               ThreadPool& pool) {
    auto solver = std::make_unique<PlainSolver>();
    std::vector<double> sums = site.hessian, diagonal;
    for (double& sum : sums) sum *= 4.0;
    for (int64_t i = 0; i < site.n; ++i) diagonal.push_back(site.hessian[i * (site.n + 1)]);
    WeightInputs inputs = site.inputs();
    inputs.hessian = {};
    inputs.device_hessian = {nullptr, {sums.data(), site.n, 4.0}, diagonal};
    auto factor = factor_hessian(inputs, format.damp, format.act_order, pool, solver.get());
    EXPECT_TRUE(factor.has_value());
    EXPECT_TRUE(factor->u.empty()) << "the solver keeps it";
    GptqProblem problem{.site = site.inputs().site,
                        .n_cols = site.n,
                        .n_codes = site.n_codes,
                        .format = format,
                        .factor = std::move(*factor),
                        .importance = importance_of(inputs, format)};
    return solve_with(std::move(solver), std::move(problem), pool);
}

void expect_as_on_host(const Site& site, const WeightFormat& format) {
    SCOPED_TRACE(fmt::format("{} of {} columns, group {}, symmetric {}, act-order {}", site.n_codes,
                             site.n, format.group_size, format.symmetric, format.act_order));
    ThreadPool pool(2);
    const auto solver = with_solver(site, format, pool);
    EXPECT_TRUE(solver->takes_all_rows());
    const QuantizedPiece found = solver->quantize(site.matrix());
    const auto host = prepare_gptq(site.inputs(), format, pool);
    EXPECT_FALSE(host->takes_all_rows());
    const QuantizedPiece expected = host->quantize(site.matrix());
    std::vector<uint8_t> a(static_cast<size_t>(site.n_codes)), b = a;
    for (int64_t r = 0; r < site.rows; ++r) {
        found.codes.unpack_row(r, a);
        expected.codes.unpack_row(r, b);
        ASSERT_EQ(a, b) << "row " << r;
        for (int64_t g = 0; g < expected.codes.n_groups(); ++g) {
            ASSERT_EQ(found.codes.scale(r, g), expected.codes.scale(r, g)) << r << ' ' << g;
            ASSERT_EQ(found.codes.zero(r, g), expected.codes.zero(r, g)) << r << ' ' << g;
        }
    }
    ASSERT_EQ(found.rest.size(), expected.rest.size());
    for (size_t i = 0; i < found.rest.size(); ++i) {
        ASSERT_NEAR(found.rest[i], expected.rest[i], 1e-6f) << i;
    }
}

WeightFormat grouped_format(int64_t group_size, bool symmetric) {
    WeightFormat format;
    format.method = "gptq";
    format.bits = 4;
    format.group_size = group_size;
    format.symmetric = symmetric;
    return format;
}

TEST(GptqOnDevice, GivesTheCodesOfTheHostInEveryFormat) {
    const Site site;
    for (const int64_t group : {0, 20, 50, 200}) {
        for (const bool act_order : {false, true}) {
            WeightFormat format = grouped_format(group, group != 20);
            format.act_order = act_order;
            expect_as_on_host(site, format);
        }
    }
    WeightFormat format = grouped_format(20, false);
    format.group_scales = GroupScales::BlockStart;
    expect_as_on_host(site, format);
    format.scale_search = ScaleSearch::Hessian;
    expect_as_on_host(site, format);
    format.act_order = true;
    expect_as_on_host(site, format);
    format.scale_search = ScaleSearch::Power;
    format.act_order = format.clip_search = false;
    format.bits = 3;
    expect_as_on_host(site, format);
}

TEST(GptqOnDevice, ColumnsWithoutCodesAndWithoutInputsAreThoseOfTheHost) {
    Site site;
    site.n_codes = 160;
    for (const int64_t dead : {0, 33, 159}) {
        for (int64_t i = 0; i < site.n; ++i) {
            site.hessian[dead * site.n + i] = site.hessian[i * site.n + dead] = 0.0;
        }
    }
    for (const bool act_order : {false, true}) {
        WeightFormat format = grouped_format(40, false);
        format.act_order = act_order;
        expect_as_on_host(site, format);
    }
}

TEST(GptqOnDevice, SeveralWeightsOfASiteDoNotSeeEachOther) {
    const Site site;
    ThreadPool pool(1);
    const auto solver = with_solver(site, grouped_format(50, false), pool);
    const std::vector<float> few = random_weights(3 * site.n, 9);
    solver->quantize({few, 3, site.n});
    const QuantizedPiece after = solver->quantize(site.matrix());
    const QuantizedPiece alone =
        with_solver(site, grouped_format(50, false), pool)->quantize(site.matrix());
    for (int64_t r = 0; r < site.rows; ++r) {
        std::vector<uint8_t> a(200), b(200);
        after.codes.unpack_row(r, a);
        alone.codes.unpack_row(r, b);
        ASSERT_EQ(a, b) << r;
    }
}

TEST(GptqOnDevice, AWeightThatGrowsBeyondItsTypeNamesTheSite) {
    Site site;
    site.n = 3;
    site.n_codes = 2;
    site.rows = 1;
    site.hessian = {1.0, 0.0, 0.0, 0.0, 1.0, 1e-3, 0.0, 1e-3, 2e-6};
    site.weights = {3e37f, 1e37f, 0.0f};
    WeightFormat format = grouped_format(0, true);
    format.bits = 2;
    format.damp = 0.0;
    format.clip_search = false;
    ThreadPool pool(1);
    try {
        with_solver(site, format, pool)->quantize(site.matrix());
        FAIL() << "the third column does not fit in fp32";
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::Numeric);
        EXPECT_NE(std::string(error.what()).find("layer 3, the input of o_proj"),
                  std::string::npos);
    }
}

TEST(GptqOnDevice, AHessianThatIsNotFiniteNamesTheSite) {
    Site site;
    site.hessian[7 * (site.n + 1)] = std::numeric_limits<double>::infinity();
    ThreadPool pool(1);
    try {
        with_solver(site, grouped_format(0, true), pool);
        FAIL() << "it is factored";
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::Numeric);
        EXPECT_NE(std::string(error.what()).find(site.inputs().site), std::string::npos);
    }
}

TEST(GptqOnDevice, ASingularHessianIsDampedMoreThere) {
    Site site;
    site.n = site.n_codes = 32;
    site.rows = 4;
    site.hessian.assign(32 * 32, 1.0);
    site.weights = random_weights(4 * 32, 3);
    WeightFormat format = grouped_format(0, true);
    format.damp = 0.0;
    expect_as_on_host(site, format);
}

}  // namespace
}  // namespace quarot::quantize
