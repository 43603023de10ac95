// Do transforms on the GPU agree with the double transform: tensor-core plans, the general kernel,
// head mixes, SwiGLU in front, every format behind, and numbers at the ends of the range?
#include "kernels/cuda/rotate.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "backend/cases.h"
#include "cuda/device_rows.h"
#include "kernels/cuda/rotate_registers.h"
#include "linalg/mixer.h"

namespace quarot::cuda_test {
namespace {

using namespace kernels;
using backend_test::make_matrix;
using backend_test::near;
using backend_test::normal_matrix;
using backend_test::Rng;
using backend_test::same;
using backend_test::Temper;

Matrix reference_transform(const Matrix& in, int64_t n, int64_t inner, DType storage = DType::F32) {
    const auto backend = backend_test::make_reference();
    backend_test::Bench bench(*backend);
    const Rows rows = bench.upload(in);
    backend->transform(*backend->prepare_transform(linalg::make_mixer(n), inner, storage), rows);
    return bench.download(rows);
}

// silu(gate) * up in double, rounded once to the dtype.
Matrix gated(const Matrix& gate, const Matrix& up, DType dtype) {
    Matrix out = gate;
    for (size_t i = 0; i < out.values.size(); ++i) {
        const double x = gate.values[i];
        out.values[i] = static_cast<float>(x / (1.0 + std::exp(-x)) * up.values[i]);
    }
    return rounded(out, dtype);
}

// ||actual - expected|| / ||expected|| of the worst row; NaN passes nothing.
double relative_error(const Matrix& expected, const Matrix& actual) {
    double worst = 0.0;
    for (int64_t r = 0; r < expected.rows; ++r) {
        double error = 0.0, norm = 0.0;
        for (int64_t c = 0; c < expected.cols; ++c) {
            error += std::pow(static_cast<double>(actual.row(r)[c]) - expected.row(r)[c], 2.0);
            norm += std::pow(expected.row(r)[c], 2.0);
        }
        const double relative = std::sqrt(error / norm);
        if (!(relative <= worst)) worst = relative;
    }
    return worst;
}

struct Width {
    int64_t n, inner;
};

// Every kernel shape and the plans around them: powers of two, Paley and Williamson orders, and
// transforms across heads.
constexpr Width kTensorWidths[] = {
    {256, 1},   {512, 1},   {1024, 1}, {2048, 1},  {4096, 1},  {8192, 1},  {16384, 1}, {32768, 1},
    {1536, 1},  {3072, 1},  {6144, 1}, {12288, 1}, {7168, 1},  {14336, 1}, {28672, 1}, {5120, 1},
    {2560, 1},  {10240, 1}, {2304, 1}, {5632, 1},  {11264, 1}, {4864, 1},  {9728, 1},  {3328, 1},
    {8960, 1},  {17920, 1}, {6912, 1}, {13824, 1}, {27648, 1}, {18944, 1}, {11008, 1}, {22016, 1},
    {17408, 1}, {32, 128},  {40, 128}, {64, 128},  {12, 64},   {8, 128},   {32, 64},   {128, 64},
};

class Rotate : public OnGpu {};

TEST_F(Rotate, TensorCoresServeTheWidthsTheyShould) {
    for (const Width& width : kTensorWidths) {
        const cuda::Rotation rotation(linalg::make_mixer(width.n), width.inner);
        EXPECT_TRUE(rotation.tensor_plan().usable()) << width.n << " x " << width.inner;
    }
    for (const Width& width : {Width{768 / 12 * 90, 1}, {576, 1}, {90, 1}, {12, 96}, {2, 64}}) {
        const cuda::Rotation rotation(linalg::make_mixer(width.n), width.inner);
        EXPECT_FALSE(rotation.tensor_plan().usable()) << width.n << " x " << width.inner;
    }
}

TEST_F(Rotate, TensorCoresAgreeWithTheDoubleTransform) {
    for (const DType dtype : {DType::F16, DType::BF16}) {
        for (const Width& width : kTensorWidths) {
            SCOPED_TRACE(fmt::format("{} {} x {}", name_of(dtype), width.n, width.inner));
            Rng rng(static_cast<uint32_t>(width.n));
            const Matrix in = rounded(normal_matrix(16, width.n * width.inner, rng), dtype);
            const Matrix expected = reference_transform(in, width.n, width.inner);
            const cuda::Rotation rotation(linalg::make_mixer(width.n), width.inner);
            const DeviceRows device(in, dtype, 8), out(in.rows, in.cols, dtype, 8);
            cuda::rotate_rows(rotation, {.rows = device.view()}, out.view(), nullptr);
            const double rounding = dtype == DType::F16 ? 5e-4 : 2.5e-3;
            EXPECT_LT(relative_error(expected, out.download()), rounding);
            EXPECT_TRUE(out.padding_intact());
            const ActivationFormat format{.bits = 4, .clip = 0.9f};
            const DeviceCodes codes(in.rows, in.cols, format);
            cuda::rotate_quantize(rotation, {.rows = device.view()}, codes.target(), nullptr);
            EXPECT_TRUE(nearly_same(reference_codes(expected, format), codes.download()));
        }
    }
}

// The tensor-core kernel makes codes of one width alone: others pass through rows of halves.
TEST_F(Rotate, FirstPositionsHaveTheirBitsBehindTensorCores) {
    for (const int64_t group : {0, 32}) {
        const ActivationFormat format{
            .bits = 4,
            .group_size = group,
            .clip = 0.9f,
            .scales = group == 0 ? ActivationScales::Group : ActivationScales::TwoLevel,
            .first_positions = 3};
        Rng rng(4);
        const Matrix in = rounded(normal_matrix(20, 4096, rng), DType::F16);
        const cuda::Rotation rotation(linalg::make_mixer(4096), 1);
        const DeviceRows device(in, DType::F16), out(20, 4096, DType::F16);
        const DeviceCodes codes(20, 4096, format);
        cuda::rotate_rows(rotation, {.rows = device.view()}, out.view(), nullptr);
        cuda::rotate_quantize(rotation, {.rows = device.view()}, codes.target(), nullptr);
        EXPECT_TRUE(same_codes(reference_codes(out.download(), format), codes.download()));
    }
}

TEST_F(Rotate, SumsAreThoseOfTheCodes) {
    for (const int64_t rows : {1, 16, 17, 40}) {
        for (const int bits : backend_test::kBits) {
            Rng rng(static_cast<uint32_t>(bits));
            const Matrix in = rounded(normal_matrix(rows, 11008, rng), DType::F16);
            const cuda::Rotation rotation(linalg::make_mixer(11008), 1);
            const DeviceRows device(in, DType::F16);
            const DeviceCodes codes(rows, 11008, {.bits = bits, .clip = 0.8f});
            cuda::rotate_quantize(rotation, {.rows = device.view()}, codes.target(), nullptr);
            const Codes actual = codes.download();
            for (int64_t r = 0; r < rows; ++r) {
                int32_t sum = 0, most = 0;
                for (int64_t c = 0; c < 11008; ++c) {
                    const int code = actual.codes[static_cast<size_t>(r * 11008 + c)];
                    sum += code;
                    most = std::max(most, code);
                }
                ASSERT_EQ(actual.row_sums[static_cast<size_t>(r)], sum);
                ASSERT_EQ(most, (1 << (bits - 1)) - 1);  // a clip of 0.8 reaches the largest code
            }
        }
    }
}

TEST_F(Rotate, SwiGluInFront) {
    for (const DType dtype : {DType::F16, DType::BF16, DType::F32}) {
        for (const int64_t n : {4096, 8192, 5632, 11008, 14336, 28672, 1000}) {
            SCOPED_TRACE(fmt::format("{} {}", name_of(dtype), n));
            Rng rng(static_cast<uint32_t>(n));
            const Matrix gate = rounded(normal_matrix(4, n, rng), dtype);
            const Matrix up = rounded(normal_matrix(4, n, rng), dtype);
            const cuda::Rotation rotation(linalg::make_mixer(n), 1);
            // Tensor cores take the product as 16 bits, the general kernel in fp32.
            const DType product = rotation.tensor_plan().usable() ? dtype : DType::F32;
            const Matrix expected = reference_transform(gated(gate, up, product), n, 1);
            const DeviceRows g(gate, dtype), u(up, dtype);
            const ActivationFormat format{.bits = 4, .clip = 0.9f};
            const DeviceCodes codes(4, n, format);
            cuda::rotate_quantize(rotation, {.rows = g.view(), .up = u.view().data, .up_stride = n},
                                  codes.target(), nullptr);
            EXPECT_TRUE(nearly_same(reference_codes(expected, format), codes.download()));
        }
    }
}

// Halves overflow in the first rows and vanish in the next, unless the row is brought into range.
TEST_F(Rotate, RowsFarFromOneKeepTheirDigits) {
    for (const DType dtype : {DType::F16, DType::BF16}) {
        for (const int64_t n : {4096, 8192, 11008, 14336, 28672}) {
            SCOPED_TRACE(fmt::format("{} {}", name_of(dtype), n));
            Rng rng(static_cast<uint32_t>(n));
            Matrix in = normal_matrix(6, n, rng);
            const float sizes[] = {60000.0f, 9000.0f, 1e-3f, 1e-4f, 2e-2f, 0.0f};
            for (int64_t r = 0; r < 6; ++r) {
                for (int64_t c = 0; c < n; ++c) {
                    float& x = in.row(r)[c];
                    // Equal signs: the first result is the sum of all.
                    x = r == 0 ? sizes[r] : std::clamp(x * sizes[r], -60000.0f, 60000.0f);
                }
            }
            if (dtype == DType::BF16) {
                for (int64_t c = 0; c < n; ++c) in.row(4)[c] *= 1e30f;
            }
            in = rounded(in, dtype);
            const Matrix expected = reference_transform(in, n, 1);
            const cuda::Rotation rotation(linalg::make_mixer(n), 1);
            const DeviceRows device(in, dtype);
            const ActivationFormat format{.bits = 4, .clip = 0.9f};
            const DeviceCodes codes(6, n, format);
            cuda::rotate_quantize(rotation, {.rows = device.view()}, codes.target(), nullptr);
            EXPECT_TRUE(nearly_same(reference_codes(expected, format), codes.download()));
            EXPECT_EQ(codes.sites(), std::vector<int32_t>(6, kNoSite));
        }
    }
}

TEST_F(Rotate, NotesRowsThatAreNotFinite) {
    for (const DType dtype : {DType::F16, DType::BF16, DType::F32}) {
        for (const int64_t n : {4096, 14336, 11008, 90}) {
            Rng rng(1);
            Matrix in = normal_matrix(4, n, rng);
            in.row(1)[n / 3] = std::numeric_limits<float>::quiet_NaN();
            in.row(3)[n - 1] = std::numeric_limits<float>::infinity();
            const cuda::Rotation rotation(linalg::make_mixer(n), 1);
            const DeviceRows device(in, dtype), out(4, n, dtype);
            const DeviceCodes codes(4, n, {.bits = 4});
            cuda::rotate_quantize(rotation, {.rows = device.view()}, codes.target(5), nullptr);
            const Codes actual = codes.download();
            EXPECT_EQ(codes.sites(), (std::vector<int32_t>{kNoSite, 5, kNoSite, 5}));
            for (int64_t c = 0; c < n; ++c) ASSERT_EQ(actual.codes[static_cast<size_t>(n + c)], 0);
            EXPECT_EQ(actual.scales[1], 1.0f);
            EXPECT_EQ(actual.row_sums[1], 0);
            cuda::rotate_rows(rotation, {.rows = device.view()}, out.view(), nullptr);
            const Matrix rows = out.download();
            EXPECT_FALSE(std::isfinite(rows.row(3)[0]));
            EXPECT_TRUE(std::isfinite(rows.row(2)[0]));
        }
    }
}

TEST_F(Rotate, GeneralKernelAgreesWithTheDoubleTransform) {
    for (const auto& shape : backend_test::kMixerShapes) {
        const int64_t block = shape.n * shape.inner, cols = block * shape.blocks;
        for (const Temper temper : {Temper::Normal, Temper::Outliers, Temper::Zeros}) {
            SCOPED_TRACE(
                fmt::format("n {} inner {} blocks {}", shape.n, shape.inner, shape.blocks));
            Rng rng(static_cast<uint32_t>(cols));
            const Matrix in = make_matrix(temper, 3, cols, rng);
            const Matrix expected = reference_transform(in, shape.n, shape.inner);
            const cuda::Rotation rotation(linalg::make_mixer(shape.n), shape.inner);
            const DeviceRows device(in, DType::F32, 7);
            cuda::rotate_rows(rotation, {.rows = device.view()}, device.view(), nullptr);
            std::vector<double> norms(in.values.size());
            for (size_t i = 0; i < in.values.size(); ++i) {
                norms[i / static_cast<size_t>(block)] += std::pow(in.values[i], 2.0);
            }
            EXPECT_TRUE(near(expected.values, device.download().values, [&](size_t i) {
                return backend_test::transform_limit(
                    shape.n, std::sqrt(norms[i / static_cast<size_t>(block)]));
            }));
            EXPECT_TRUE(device.padding_intact());
        }
    }
}

// Wide rows pass through the workspace; odd widths through the Hartley mixer.
TEST_F(Rotate, GeneralKernelTakesAnyWidth) {
    for (const int64_t n : {1, 3, 107 * 8, 1000, 29568, 44032, 65536}) {
        SCOPED_TRACE(n);
        Rng rng(static_cast<uint32_t>(n));
        const Matrix in = normal_matrix(2, n, rng);
        const Matrix expected = reference_transform(in, n, 1);
        const cuda::Rotation rotation(linalg::make_mixer(n), 1);
        const DeviceRows device(in, DType::F32);
        const int64_t bytes = cuda::rotate_workspace_bytes(rotation, device.view());
        const Memory workspace(std::max<int64_t>(bytes, 16));
        const cuda::RotateInput input{.rows = device.view(), .workspace = workspace.as<float>()};
        const DeviceCodes codes(2, n, {.bits = 8});
        cuda::rotate_quantize(rotation, input, codes.target(), nullptr);
        EXPECT_TRUE(nearly_same(reference_codes(expected, {.bits = 8}), codes.download()));
        cuda::rotate_rows(rotation, input, device.view(), nullptr);
        EXPECT_LT(relative_error(expected, device.download()), 1e-6);
        EXPECT_TRUE(workspace.guards_intact());
    }
}

TEST_F(Rotate, HalvesBetweenThePartsAreTheReferences) {
    for (const int64_t n : {8, 12, 90, 172, 768, 11008}) {
        SCOPED_TRACE(n);
        Rng rng(static_cast<uint32_t>(n));
        const Matrix in = normal_matrix(3, n, rng);
        const Matrix expected = reference_transform(in, n, 1, DType::F16);
        const cuda::Rotation rotation(linalg::make_mixer(n), 1, DType::F16);
        const DeviceRows device(in, DType::F32);
        cuda::rotate_rows(rotation, {.rows = device.view()}, device.view(), nullptr);
        // A tie of halves may fall to the other side: three steps of numbers below 8.
        EXPECT_TRUE(
            near(expected.values, device.download().values, [](size_t) { return 3.0 * 0x1p-8; }));
        const Matrix actual = device.download();
        EXPECT_TRUE(same(rounded(actual, DType::F16).values, actual.values));
    }
}

TEST_F(Rotate, EveryFormatAfterATransform) {
    constexpr ActivationFormat kFormats[] = {
        {.bits = 8, .symmetric = false},
        {.bits = 4, .group_size = 128},
        {.bits = 4, .group_size = 64, .symmetric = false},
        {.bits = 4, .group_size = 64, .symmetric = false, .zero = ZeroPoint::Real},
    };
    for (const DType dtype : {DType::F32, DType::F16}) {
        for (const ActivationFormat& format : kFormats) {
            for (const int64_t n : {768, 5632}) {
                Rng rng(2);
                const Matrix in = rounded(normal_matrix(3, n, rng), dtype);
                const Matrix expected = reference_transform(in, n, 1);
                const cuda::Rotation rotation(linalg::make_mixer(n), 1);
                const DeviceRows device(in, dtype), out(3, n, dtype);
                cuda::rotate_rows(rotation, {.rows = device.view()}, out.view(), nullptr);
                const DeviceCodes codes(3, n, format);
                cuda::rotate_quantize(rotation, {.rows = device.view()}, codes.target(), nullptr);
                // The very codes of the rows that the transform gives.
                EXPECT_TRUE(same_codes(reference_codes(out.download(), format), codes.download()));
            }
        }
    }
}

// Of rows of 16 bits; the general kernel takes the same numbers as floats.
TEST_F(Rotate, SmallBlocksHaveTheCodesOfTheGeneralKernel) {
    constexpr ActivationFormat kFormats[] = {
        {.bits = 4, .clip = 0.9f},
        {.bits = 4, .symmetric = false, .zero = ZeroPoint::Real, .first_positions = 2},
        {.bits = 8, .group_size = 128, .symmetric = false},
        {.bits = 4,
         .group_size = 32,
         .symmetric = false,
         .clip = 0.95f,
         .zero = ZeroPoint::Real,
         .scales = ActivationScales::TwoLevel,
         .first_positions = 2},
    };
    struct Shape {
        int64_t block, rows, cols;
    };
    for (const Shape& shape : {Shape{2, 3, 384}, Shape{4, 70, 1152}, Shape{8, 1, 8192},
                               Shape{16, 70, 8192}, Shape{32, 1, 11008}, Shape{32, 70, 11008},
                               Shape{64, 2, 18944}, Shape{128, 70, 28672}, Shape{1, 5, 4096}}) {
        SCOPED_TRACE(
            fmt::format("{} rows of {}, blocks of {}", shape.rows, shape.cols, shape.block));
        for (const DType dtype : {DType::F16, DType::BF16}) {
            Rng rng(static_cast<uint32_t>(shape.cols + shape.block));
            Matrix gate = normal_matrix(shape.rows, shape.cols, rng);
            for (float& x : gate.values) x = 20.0f + std::abs(x);  // SiLU of it is itself
            gate = rounded(gate, dtype);
            const Matrix up = rounded(normal_matrix(shape.rows, shape.cols, rng), dtype);
            const cuda::Rotation rotation(linalg::make_mixer(shape.block), 1);
            for (const ActivationFormat& format : kFormats) {
                for (const bool gated : {false, true}) {
                    const auto codes_of = [&](DType as) {
                        const DeviceRows g(gate, as), u(up, as);
                        const DeviceCodes codes(shape.rows, shape.cols, format);
                        cuda::RotateInput in{.rows = g.view()};
                        if (gated) in.up = u.view().data;
                        in.up_stride = shape.cols;
                        EXPECT_EQ(cuda::takes_register_path(rotation, in, codes.target()),
                                  as != DType::F32);
                        cuda::rotate_quantize(rotation, in, codes.target(), nullptr);
                        return codes.download();
                    };
                    ASSERT_TRUE(same_codes(codes_of(DType::F32), codes_of(dtype)));
                }
            }
        }
    }
}

TEST_F(Rotate, SwiGluInFrontOfSmallBlocks) {
    for (const int64_t block : {1, 32}) {
        Rng rng(static_cast<uint32_t>(block));
        const Matrix gate = rounded(normal_matrix(3, 11008, rng), DType::F16);
        const Matrix up = rounded(normal_matrix(3, 11008, rng), DType::F16);
        const Matrix expected = reference_transform(gated(gate, up, DType::F32), block, 1);
        const cuda::Rotation rotation(linalg::make_mixer(block), 1);
        const DeviceRows g(gate, DType::F16), u(up, DType::F16);
        const ActivationFormat format{.bits = 4, .clip = 0.9f};
        const DeviceCodes codes(3, 11008, format);
        cuda::rotate_quantize(rotation, {.rows = g.view(), .up = u.view().data, .up_stride = 11008},
                              codes.target(), nullptr);
        EXPECT_TRUE(nearly_same(reference_codes(expected, format), codes.download()));
    }
}

TEST_F(Rotate, ARowsBitsDependOnThatRowAlone) {
    for (const int64_t n : {4096, 11008, 28672, 1000}) {
        Rng rng(static_cast<uint32_t>(n));
        const Matrix in = rounded(normal_matrix(200, n, rng), DType::F16);
        const cuda::Rotation rotation(linalg::make_mixer(n), 1);
        const DeviceRows all(in, DType::F16), one(in.slice(137, 1), DType::F16);
        const DeviceCodes all_codes(200, n, {.bits = 4}), one_codes(1, n, {.bits = 4});
        cuda::rotate_quantize(rotation, {.rows = all.view()}, all_codes.target(), nullptr);
        cuda::rotate_quantize(rotation, {.rows = one.view()}, one_codes.target(), nullptr);
        const Codes many = all_codes.download(), single = one_codes.download();
        EXPECT_TRUE(same(
            std::span(many.codes).subspan(static_cast<size_t>(137 * n), static_cast<size_t>(n)),
            single.codes));
        EXPECT_EQ(many.scales[137], single.scales[0]);
        EXPECT_EQ(many.row_sums[137], single.row_sums[0]);
    }
}

// Normal rows, the second beyond the range of halves, the third below it, the fourth with a NaN.
Matrix rows_of_every_size(int64_t n, DType dtype, Rng& rng) {
    Matrix rows = normal_matrix(40, n, rng);
    for (int64_t c = 0; c < n; ++c) {
        rows.row(1)[c] = std::copysign(250.0f, rows.row(1)[c]);
        rows.row(2)[c] *= 1e-3f;
    }
    rows.row(3)[n - 5] = std::numeric_limits<float>::quiet_NaN();
    return rounded(rows, dtype);
}

// Clusters of blocks share few rows, a block has one of many.
TEST_F(Rotate, FewGatedRowsHaveTheBitsOfMany) {
    for (const DType dtype : {DType::F16, DType::BF16}) {
        for (const int64_t n : {4096, 5632, 11008, 13824, 14336, 17408, 20480, 28672, 32768}) {
            SCOPED_TRACE(fmt::format("{} {}", name_of(dtype), n));
            Rng rng(static_cast<uint32_t>(n));
            const Matrix gate = rows_of_every_size(n, dtype, rng);
            const Matrix up = rows_of_every_size(n, dtype, rng);
            const cuda::Rotation rotation(linalg::make_mixer(n), 1);
            const auto codes_of = [&](int64_t first, int64_t count, std::vector<int32_t>& sites) {
                const DeviceRows g(gate.slice(first, count), dtype),
                    u(up.slice(first, count), dtype);
                const DeviceCodes codes(count, n, {.bits = 4, .clip = 0.9f});
                cuda::rotate_quantize(rotation,
                                      {.rows = g.view(), .up = u.view().data, .up_stride = n},
                                      codes.target(5), nullptr);
                sites = codes.sites();
                return codes.download();
            };
            std::vector<int32_t> all_sites, sites;
            const Codes all = codes_of(0, 40, all_sites);
            EXPECT_EQ(all_sites[3], 5);
            EXPECT_EQ(all_sites[1], kNoSite);
            for (const auto& [first, count] :
                 {std::pair{0, 1}, {1, 1}, {2, 1}, {3, 1}, {4, 1}, {0, 4}, {2, 3}}) {
                const Codes few = codes_of(first, count, sites);
                const auto rows = [&](const auto& values, int64_t cols) {
                    return std::span(values).subspan(static_cast<size_t>(first * cols),
                                                     static_cast<size_t>(count * cols));
                };
                EXPECT_TRUE(same(rows(all.codes, n), few.codes)) << first << ' ' << count;
                EXPECT_TRUE(same(rows(all.scales, 1), few.scales));
                EXPECT_TRUE(same(rows(all.row_sums, 1), few.row_sums));
                EXPECT_TRUE(same(rows(all_sites, 1), sites));
            }
        }
    }
}

}  // namespace
}  // namespace quarot::cuda_test
