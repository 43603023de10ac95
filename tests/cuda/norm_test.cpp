// Does RMSNorm on the GPU agree with the reference, with residuals, in groups and at the ends of
// the range, and do its codes?
#include "kernels/cuda/norm.h"

#include <fmt/format.h>

#include <cmath>

#include "backend/cases.h"
#include "cuda/device_rows.h"

namespace quarot::cuda_test {
namespace {

using namespace kernels;
using backend_test::make_matrix;
using backend_test::near;
using backend_test::normal_matrix;
using backend_test::Rng;
using backend_test::Temper;

constexpr float kEps = 1e-6f;

Matrix reference_norm(const Matrix& in, const std::vector<float>& gain, float eps = kEps) {
    const auto backend = backend_test::make_reference();
    backend_test::Bench bench(*backend);
    const Rows out = bench.blank(in.rows, in.cols);
    backend->norm({.in = bench.upload(in),
                   .gain = gain.empty() ? nullptr : bench.upload(gain),
                   .eps = eps,
                   .out = out});
    return bench.download(out);
}

class RmsNorm : public OnGpu {
  protected:
    static void expect_near(const Matrix& expected, const Matrix& actual) {
        ASSERT_TRUE(near(expected.values, actual.values, [&](size_t i) {
            return backend_test::rms_norm_limit(expected.values[i]) + 1e-45;
        }));
    }
};

TEST_F(RmsNorm, AgreesWithTheReference) {
    for (const int64_t cols : {8, 90, 172, 576, 4096, 8192}) {
        for (const Temper temper : {Temper::Normal, Temper::Outliers, Temper::Zeros}) {
            SCOPED_TRACE(fmt::format("{} columns", cols));
            Rng rng(static_cast<uint32_t>(cols));
            const Matrix in = make_matrix(temper, 5, cols, rng);
            const std::vector<float> gain = backend_test::normal_vector(cols, rng);
            const Memory device_gain = upload(gain);
            const DeviceRows device(in, DType::F32, 2), out(5, cols, DType::F32, 3);
            cuda::norm({.in = device.view(), .gain = device_gain.as<float>(), .eps = kEps},
                       out.view(), nullptr);
            expect_near(reference_norm(in, gain), out.download());
            EXPECT_TRUE(out.padding_intact());
            cuda::norm({.in = device.view(), .eps = kEps}, device.view(), nullptr);
            expect_near(reference_norm(in, {}), device.download());
        }
    }
}

// fp32 squares of the first row overflow, those of the last vanish.
TEST_F(RmsNorm, WorksFromTheLargestToTheSmallestNumbers) {
    const float sizes[] = {3e19f, 3e38f, 1e-25f, 1e-40f};
    Matrix in(4, 64);
    for (int64_t r = 0; r < 4; ++r) {
        for (int64_t c = 0; c < 64; ++c) in.row(r)[c] = sizes[r] * (c % 2 == 0 ? 1.0f : -0.5f);
    }
    for (const float eps : {0.0f, 1e-5f}) {
        const DeviceRows device(in, DType::F32), out(4, 64, DType::F32);
        cuda::norm({.in = device.view(), .eps = eps}, out.view(), nullptr);
        expect_near(reference_norm(in, {}, eps), out.download());
    }
}

TEST_F(RmsNorm, AddsTheResidualAndTheBiasFirst) {
    for (const DType dtype : {DType::F32, DType::F16, DType::BF16}) {
        for (const bool biased : {false, true}) {
            Rng rng(3);
            const int64_t cols = 90;
            const Matrix partial = rounded(normal_matrix(5, cols, rng), dtype);
            const Matrix before = normal_matrix(5, cols, rng);
            const std::vector<float> bias = backend_test::normal_vector(cols, rng);
            Matrix sum = before;
            for (size_t i = 0; i < sum.values.size(); ++i) {
                const size_t c = i % static_cast<size_t>(cols);
                sum.values[i] += biased ? partial.values[i] + bias[c] : partial.values[i];
            }
            const Memory device_bias = upload(bias);
            const DeviceRows device(partial, dtype), residual(before, DType::F32, 2);
            const DeviceRows out(5, cols, DType::F32);
            cuda::norm({.in = device.view(),
                        .residual = static_cast<float*>(residual.view().data),
                        .residual_stride = residual.view().stride,
                        .bias = biased ? device_bias.as<float>() : nullptr,
                        .eps = kEps},
                       out.view(), nullptr);
            EXPECT_TRUE(backend_test::same(sum.values, residual.download().values));
            EXPECT_TRUE(residual.padding_intact());
            expect_near(reference_norm(sum, {}), out.download());
        }
    }
}

// The same kernel body: codes of exactly the floats that norm gives.
TEST_F(RmsNorm, QuantizesWhatItNormalizes) {
    for (const ActivationFormat& format :
         {ActivationFormat{.bits = 4, .clip = 0.9f},
          ActivationFormat{.bits = 8, .symmetric = false},
          ActivationFormat{.bits = 4, .clip = 0.9f, .first_positions = 3},
          ActivationFormat{.bits = 4, .group_size = 32, .symmetric = false},
          ActivationFormat{.bits = 4,
          .group_size = 32,
          .symmetric = false,
          .zero = ZeroPoint::Real,
          .scales = ActivationScales::TwoLevel,
          .first_positions = 3}}) {
        for (const auto& [rows, cols] :
             {std::pair<int64_t, int64_t>{17, 64}, {17, 576}, {17, 4096}, {5, 4096}, {5, 12288}}) {
            Rng rng(5);
            const Matrix in = make_matrix(Temper::Outliers, rows, cols, rng);
            const DeviceRows device(in, DType::F32), out(rows, cols, DType::F32);
            const DeviceCodes codes(rows, cols, format);
            cuda::norm({.in = device.view(), .eps = kEps}, out.view(), nullptr);
            cuda::norm_quantize({.in = device.view(), .eps = kEps}, codes.target(), nullptr);
            const Matrix normalized = out.download();
            ASSERT_TRUE(same_codes(reference_codes(normalized, format), codes.download()));
            ASSERT_TRUE(
                nearly_same(reference_codes(reference_norm(in, {}), format), codes.download()));
        }
    }
}

TEST_F(RmsNorm, NotesRowsThatAreNotFinite) {
    Matrix in(2, 64);
    in.row(1)[7] = std::numeric_limits<float>::infinity();
    const DeviceRows device(in, DType::F32);
    const DeviceCodes codes(2, 64, {.bits = 4});
    cuda::norm_quantize({.in = device.view()}, codes.target(7), nullptr);
    synchronize();
    EXPECT_EQ(codes.sites(), (std::vector<int32_t>{kNoSite, 7}));
}

TEST_F(RmsNorm, GroupsAreNormalizedApart) {
    for (const int64_t group : {8, 64, 90, 128}) {
        Rng rng(6);
        const Matrix in = make_matrix(Temper::Outliers, 3, 3 * group, rng);
        const std::vector<float> gain = backend_test::normal_vector(group, rng);
        Matrix heads(9, group);
        heads.values = in.values;
        const Memory device_gain = upload(gain);
        const DeviceRows device(in, DType::F32, 4);
        cuda::norm_groups({.in = device.view(),
                           .out = device.view(),
                           .group = group,
                           .gain = device_gain.as<float>(),
                           .eps = kEps},
                          nullptr);
        Matrix actual(9, group);
        actual.values = device.download().values;
        expect_near(reference_norm(heads, gain), actual);
        EXPECT_TRUE(device.padding_intact());
    }
}

}  // namespace
}  // namespace quarot::cuda_test
