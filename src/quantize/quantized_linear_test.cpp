// A weight quantized as a whole against the same in blocks.
#include "quantize/quantized_linear.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "kernels/backend.h"
#include "quantize/rounding/gptq_reference_for_tests.h"
#include "quantize/rounding/rtn.h"

namespace quarot::quantize {
namespace {

constexpr int64_t kRows = 700, kCols = 1024;  // several blocks, the last of which is shorter

// Rounds to nearest, as a quantizer that takes blocks or as one that wants all rows.
class Nearest final : public PreparedQuantizer {
  public:
    Nearest(std::unique_ptr<PreparedQuantizer> inner, bool whole)
        : inner_(std::move(inner)), whole_(whole) {}
    bool takes_all_rows() const override { return whole_; }
    QuantizedPiece quantize(const WeightMatrix& rows) const override {
        if (whole_) {
            EXPECT_EQ(rows.rows, kRows);
        }
        return inner_->quantize(rows);
    }

  private:
    std::unique_ptr<PreparedQuantizer> inner_;
    bool whole_;
};

class QuantizedLinearTest : public testing::Test {
  protected:
    QuantizedLinear quantize(bool whole, const ColumnOrder& columns, HessianError* hessian) {
        WeightSource source{.name = "w", .rows = kRows, .cols = kCols};
        source.read = [this](int64_t first, int64_t n) {
            Tensor rows(DType::F32, {n, kCols});
            std::copy_n(weights_.begin() + first * kCols, n * kCols, rows.as<float>());
            return rows;
        };
        const RotatedWeight weight(std::move(source), rotation_, config_, pool_);
        EXPECT_GT(weight.n_blocks(), 2);
        const WeightInputs inputs{
            .site = "site", .n_cols = kCols, .n_codes = kCols - columns.n_outliers};
        const Nearest nearest(prepare_rtn(inputs, format_, pool_), whole);
        return quantize_linear("w", rows_of(weight), nearest, format_, columns, hessian, pool_);
    }
    static void expect_equal(const Tensor& a, const Tensor& b) {
        ASSERT_EQ(a.bytes(), b.bytes());
        EXPECT_TRUE(std::equal(a.data(), a.data() + a.bytes(), b.data()));
    }
    void expect_equal(const QuantizedLinear& a, const QuantizedLinear& b) {
        expect_equal(a.matrix.packed, b.matrix.packed);
        expect_equal(a.matrix.scales, b.matrix.scales);
        expect_equal(a.matrix.zero_points, b.matrix.zero_points);
        EXPECT_EQ(a.report.relative_error, b.report.relative_error);
        EXPECT_EQ(a.report.weighted_error, b.report.weighted_error);
        EXPECT_EQ(a.report.nearest_weighted_error, b.report.nearest_weighted_error);
    }

    ThreadPool pool_{2};
    model::ModelConfig config_;
    rotate::Rotation rotation_;
    std::vector<float> weights_ = random_weights(kRows * kCols, 3);
    WeightFormat format_{.bits = 4, .group_size = 64, .symmetric = false};
};

TEST_F(QuantizedLinearTest, AWholeWeightGivesWhatItsBlocksGive) {
    const auto backend = kernels::make_backend("cpu", {.n_threads = 2, .isa = ""});
    std::vector<double> hessian(kCols * kCols, 0.25);
    for (int64_t i = 0; i < kCols; ++i) hessian[i * (kCols + 1)] = 1.0 + static_cast<double>(i % 9);
    HessianError error(hessian_of(hessian, kCols, *backend), *backend, pool_);
    expect_equal(quantize(true, {}, &error), quantize(false, {}, &error));
}

TEST_F(QuantizedLinearTest, AWholeWeightKeepsItsOutliersInTheirRows) {
    ColumnOrder columns;
    columns.n_outliers = 64;
    columns.outliers.bits = 16;
    for (int32_t i = 0; i < kCols; ++i) columns.columns.push_back(kCols - 1 - i);
    const QuantizedLinear whole = quantize(true, columns, nullptr);
    const QuantizedLinear blocks = quantize(false, columns, nullptr);
    expect_equal(whole, blocks);
    ASSERT_TRUE(whole.outliers && blocks.outliers);
    expect_equal(std::get<Tensor>(*whole.outliers), std::get<Tensor>(*blocks.outliers));
}

}  // namespace
}  // namespace quarot::quantize
