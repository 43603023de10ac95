// GPTQ and calibration on a GPU against the same on the host.
#include "quantize/rounding/gptq.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>

#include "cuda/gpu.h"
#include "io/checkpoint.h"
#include "kernels/backend.h"
#include "quantize/quantize_model.h"
#include "quantize/rounding/gptq_reference_for_tests.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"

namespace quarot::cuda_test {
namespace {

using namespace quantize;

struct Problem {
    int64_t n = 0, n_codes = 0, rows = 0;
    std::vector<double> hessian;
    std::vector<float> weights;

    Problem(int64_t columns, int64_t codes, int64_t n_rows)
        : n(columns),
          n_codes(codes),
          rows(n_rows),
          hessian(correlated_hessian(n, static_cast<uint32_t>(n))),
          weights(random_weights(rows * n, static_cast<uint32_t>(n + rows))) {}
    WeightInputs inputs() const {
        return {.site = "test site", .n_cols = n, .n_codes = n_codes, .hessian = hessian};
    }
    WeightMatrix matrix(int64_t first, int64_t count) const {
        return {std::span(weights).subspan(static_cast<size_t>(first * n),
                                           static_cast<size_t>(count * n)),
                count, n};
    }
};

std::vector<uint8_t> codes_of(const QuantizedMatrix& matrix) {
    std::vector<uint8_t> codes(static_cast<size_t>(matrix.rows * matrix.cols));
    for (int64_t r = 0; r < matrix.rows; ++r) {
        matrix.unpack_row(r, std::span(codes).subspan(static_cast<size_t>(r * matrix.cols),
                                                      static_cast<size_t>(matrix.cols)));
    }
    return codes;
}

double error_of(const Problem& p, const QuantizedPiece& piece) {
    std::vector<std::vector<float>> values;
    const int64_t n_rest = p.n - p.n_codes;
    for (int64_t r = 0; r < p.rows; ++r) {
        std::vector<float> row(static_cast<size_t>(p.n_codes));
        piece.codes.dequantize_row(r, row);
        const auto rest = piece.rest.begin() + r * n_rest;
        row.insert(row.end(), rest, rest + n_rest);
        values.push_back(std::move(row));
    }
    return weighted_error(p.matrix(0, p.rows), values, p.hessian);
}

WeightFormat format_of(int bits, int64_t group_size, bool symmetric) {
    WeightFormat format;
    format.method = "gptq";
    format.bits = bits;
    format.group_size = group_size;
    format.symmetric = symmetric;
    return format;
}

class GptqOnGpu : public OnGpu {
  protected:
    void SetUp() override {
        OnGpu::SetUp();
        if (!IsSkipped()) backend_ = kernels::make_backend("cuda", {});
    }
    std::unique_ptr<PreparedQuantizer> prepare_on_gpu(const Problem& p,
                                                      const WeightFormat& format) {
        const Hessian hessian = hessian_of(p.hessian, p.n, *backend_);
        WeightInputs inputs = p.inputs();
        inputs.hessian = hessian.on_host();
        inputs.device_hessian = hessian.on_device();
        return prepare_gptq(inputs, format, pool_);
    }
    // fp64 on both sides: a code differs only where a weight lies within the last bits of a tie,
    // which then moves what follows it.
    void expect_as_on_host(const Problem& p, const WeightFormat& format) {
        SCOPED_TRACE(
            fmt::format("{} of {} columns, {} rows, {} bits, group {}, symmetric {}, "
                        "act-order {}",
                        p.n_codes, p.n, p.rows, format.bits, format.group_size, format.symmetric,
                        format.act_order));
        const auto on_gpu = prepare_on_gpu(p, format);
        ASSERT_TRUE(on_gpu->takes_all_rows());
        const QuantizedPiece found = on_gpu->quantize(p.matrix(0, p.rows));
        const QuantizedPiece expected =
            prepare_gptq(p.inputs(), format, pool_)->quantize(p.matrix(0, p.rows));
        const auto a = codes_of(found.codes), b = codes_of(expected.codes);
        ASSERT_EQ(a.size(), b.size());
        int64_t n_different = 0;
        for (size_t i = 0; i < a.size(); ++i) n_different += a[i] != b[i] ? 1 : 0;
        EXPECT_LE(n_different, std::ssize(a) / 1000);
        const double error = error_of(p, expected);
        EXPECT_NEAR(error_of(p, found), error, 1e-4 * error);
    }

    std::unique_ptr<kernels::Backend> backend_;
    ThreadPool pool_{4};
};

TEST_F(GptqOnGpu, GivesTheCodesOfTheHost) {
    for (const auto& [n, rows] : {std::pair<int64_t, int64_t>{64, 1},
                                  {96, 7},
                                  {160, 130},
                                  {576, 33},
                                  {1000, 257},
                                  {704, 64}}) {
        const Problem p(n, n, rows);
        for (const int bits : {2, 3, 4, 8}) {
            expect_as_on_host(p, format_of(bits, 0, bits != 4));
        }
        expect_as_on_host(p, format_of(4, 0, true));
    }
}

TEST_F(GptqOnGpu, GivesTheCodesOfTheHostInGroups) {
    const Problem p(640, 640, 70);
    for (const int64_t group : {20, 32, 64, 128, 160, 640}) {
        for (const bool act_order : {false, true}) {
            for (const GroupScales scales : {GroupScales::Updated, GroupScales::BlockStart}) {
                WeightFormat format = format_of(4, group, group == 64);
                format.act_order = act_order;
                format.group_scales = scales;
                expect_as_on_host(p, format);
            }
        }
    }
}

TEST_F(GptqOnGpu, GivesTheRestOfTheHost) {
    Problem p(320, 256, 40);
    for (const int64_t dead : {0, 100, 255, 300}) {
        for (int64_t i = 0; i < p.n; ++i) p.hessian[dead * p.n + i] = p.hessian[i * p.n + dead] = 0;
    }
    for (const bool act_order : {false, true}) {
        WeightFormat format = format_of(4, 64, false);
        format.act_order = act_order;
        expect_as_on_host(p, format);
    }
}

TEST_F(GptqOnGpu, TheSameBitsEveryTimeAndForAnyRowsBeside) {
    const Problem p(704, 704, 150);
    const WeightFormat format = format_of(4, 64, false);
    const auto prepared = prepare_on_gpu(p, format);
    const auto codes = codes_of(prepared->quantize(p.matrix(0, p.rows)).codes);
    EXPECT_EQ(codes_of(prepared->quantize(p.matrix(0, p.rows)).codes), codes);
    const auto again = prepare_on_gpu(p, format);
    EXPECT_EQ(codes_of(again->quantize(p.matrix(0, p.rows)).codes), codes);
    const auto part = codes_of(prepared->quantize(p.matrix(67, 5)).codes);
    EXPECT_TRUE(std::equal(part.begin(), part.end(), codes.begin() + 67 * p.n));
}

TEST_F(GptqOnGpu, AHessianIsReorderedThere) {
    const Problem p(130, 130, 1);
    ColumnOrder columns;
    for (int32_t i = 0; i < p.n; ++i) columns.columns.push_back((i * 7 + 3) % 130);
    Hessian hessian = hessian_of(p.hessian, p.n, *backend_);
    hessian.reorder(columns);
    const std::vector<double> expected = columns.of_square(p.hessian);
    std::vector<double> sums(expected.size());
    const auto found = hessian.on_device();
    ASSERT_TRUE(found.has_value());
    backend_->download(sums.data(), found->sums.sums, std::ssize(sums) * 8);
    backend_->synchronize();
    for (size_t i = 0; i < sums.size(); ++i) {
        ASSERT_DOUBLE_EQ(sums[i] / found->sums.count, expected[i]) << i;
    }
    for (int64_t i = 0; i < p.n; ++i) {
        ASSERT_DOUBLE_EQ(found->diagonal[i], expected[i * (p.n + 1)]) << i;
    }
}

// ---- whole folders

class QuantizeOnGpu : public OnGpu {
  protected:
    void SetUp() override {
        OnGpu::SetUp();
        if (IsSkipped()) return;
        test::write_tiny_model(in_, {.hidden = 128,
                                     .ffn = 384,
                                     .n_layers = 2,
                                     .n_heads = 4,
                                     .n_kv_heads = 2,
                                     .head_dim = 32,
                                     .dtype = DType::BF16});
    }
    QuantizeOptions options(const std::string& recipe, const std::string& device) const {
        QuantizeOptions options;
        options.recipe = named_recipe(recipe);
        options.device = device;
        options.n_threads = 4;
        options.overwrite = true;
        std::mt19937 engine(3);
        options.calibration.assign(16, std::vector<int32_t>(256));
        for (auto& window : options.calibration) {
            for (int32_t& id : window) id = static_cast<int32_t>(engine() % 256);
        }
        return options;
    }
    // Every linear's error on the text within `share` of the host's: halves against fp32.
    void expect_as_on_host(const std::string& recipe, double share) {
        SCOPED_TRACE(recipe);
        const auto host = quantize_model(in_, dir_ / "host", options(recipe, "cpu")).layers;
        const auto gpu = quantize_model(in_, dir_ / "gpu", options(recipe, "cuda")).layers;
        ASSERT_EQ(host.size(), gpu.size());
        for (size_t i = 0; i < host.size(); ++i) {
            SCOPED_TRACE(host[i].name);
            ASSERT_EQ(gpu[i].weighted_error.has_value(), host[i].weighted_error.has_value());
            EXPECT_NEAR(gpu[i].relative_error, host[i].relative_error,
                        share * host[i].relative_error);
            if (!host[i].weighted_error) continue;
            EXPECT_NEAR(*gpu[i].weighted_error, *host[i].weighted_error,
                        share * *host[i].weighted_error);
            EXPECT_NEAR(*gpu[i].nearest_weighted_error, *host[i].nearest_weighted_error,
                        share * *host[i].nearest_weighted_error);
        }
    }

    const test::TempDir dir_;
    const std::string in_ = dir_ / "in";
};

TEST_F(QuantizeOnGpu, LosesWhatTheHostLoses) {
    expect_as_on_host("quarot", 0.02);
    expect_as_on_host("quarot-64g", 0.02);
    expect_as_on_host("quarot-w4a16", 0.02);
}

TEST_F(QuantizeOnGpu, SmoothsAndKeepsColumnsApartAsTheHost) {
    expect_as_on_host("smoothquant", 0.02);
    expect_as_on_host("quik-4b", 0.02);
}

TEST_F(QuantizeOnGpu, GivesTheSameBytesEveryTime) {
    quantize_model(in_, dir_ / "one", options("quarot", "cuda"));
    quantize_model(in_, dir_ / "two", options("quarot", "cuda"));
    const auto one = io::Checkpoint::open(dir_ / "one"), two = io::Checkpoint::open(dir_ / "two");
    ASSERT_FALSE(one.names().empty());
    for (const std::string& name : one.names()) {
        const Tensor a = one.read(name), b = two.read(name);
        ASSERT_EQ(a.bytes(), b.bytes());
        EXPECT_TRUE(std::equal(a.data(), a.data() + a.bytes(), b.data())) << name;
    }
}

}  // namespace
}  // namespace quarot::cuda_test
