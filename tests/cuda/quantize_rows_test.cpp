// Are codes, scales, offsets, bases and sums of the GPU those of the reference, bit for bit?
#include "kernels/cuda/quantize_rows.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>

#include "backend/cases.h"
#include "cuda/device_rows.h"

namespace quarot::cuda_test {
namespace {

using namespace kernels;
using backend_test::kTempers;
using backend_test::make_matrix;
using backend_test::Rng;
using backend_test::Temper;

constexpr ActivationFormat kWays[] = {
    {.symmetric = true},
    {.symmetric = false},
    {.symmetric = false, .zero = ZeroPoint::Real},
};

class QuantizeRows : public OnGpu {
  protected:
    void check(Temper temper, int64_t rows, int64_t cols, const ActivationFormat& format,
               DType dtype = DType::F32) {
        SCOPED_TRACE(fmt::format("temper {} {} x {} bits {} symmetric {} real {} group {} first {}",
                                 static_cast<int>(temper), rows, cols, format.bits,
                                 format.symmetric, format.has_bases(), format.group_size,
                                 format.first_positions));
        Rng rng(static_cast<uint32_t>(cols * 7 + rows));
        const Matrix in = rounded(make_matrix(temper, rows, cols, rng), dtype);
        const DeviceRows device(in, dtype, rows == 3 ? 5 : 0);
        const DeviceCodes codes(rows, cols, format);
        cuda::quantize_rows(device.view(), codes.target(), nullptr);
        ASSERT_TRUE(same_codes(reference_codes(in, format), codes.download()));
    }
};

TEST_F(QuantizeRows, EveryTemperWidthOfCodeAndShape) {
    for (const ActivationFormat& way : kWays) {
        for (const int bits : backend_test::kBits) {
            ActivationFormat format = way;
            format.bits = bits;
            format.clip = 0.9f;
            for (const Temper temper : kTempers) check(temper, 7, 90, format);
            for (const int64_t cols : {1, 8, 172, 576, 4096}) {
                check(Temper::Outliers, 3, cols, format);
                check(Temper::Ties, 33, cols, format);
            }
            if (HasFatalFailure()) return;
        }
    }
}

TEST_F(QuantizeRows, GroupsOfEverySize) {
    for (const int64_t group : {2, 15, 18, 43, 64, 128}) {
        for (const int64_t cols : {90, 172, 576, 768}) {
            if (cols % group != 0) continue;
            for (ActivationFormat format : kWays) {
                format.group_size = group;
                for (const Temper temper : kTempers) {
                    for (const int bits : {3, 8}) {
                        format.bits = bits;
                        check(temper, 2, cols, format);
                    }
                }
                if (HasFatalFailure()) return;
            }
        }
    }
}

// Groups that lanes share, in every number of registers a thread has.
TEST_F(QuantizeRows, GroupsOfFewAndManyWideRows) {
    for (const int64_t group : {4, 32, 128}) {
        for (ActivationFormat format : kWays) {
            format.bits = 4;
            format.group_size = group;
            for (const int64_t rows : {2, 70}) {
                for (const int64_t cols : {1152, 4096, 8192, 11008, 18944}) {
                    check(Temper::Outliers, rows, cols, format);
                }
            }
            if (HasFatalFailure()) return;
        }
    }
}

TEST_F(QuantizeRows, ScalesOfTwoLevels) {
    for (const auto& [cols, group] : {std::pair<int64_t, int64_t>{90, 15},
                                      {576, 32},
                                      {768, 128},
                                      {4096, 32},
                                      {30720, 32},  // beyond registers
                                      {64, 64},
                                      {576, 0}}) {
        for (ActivationFormat format : kWays) {
            if (format.has_offsets()) continue;
            format.group_size = group;
            format.clip = 0.95f;
            format.scales = ActivationScales::TwoLevel;
            for (const int64_t first : {0, 2}) {
                format.first_positions = first;
                for (const int bits : {3, 4, 8}) {
                    format.bits = bits;
                    for (const Temper temper : kTempers) check(temper, 5, cols, format);
                    check(Temper::Outliers, 20, cols, format);
                }
            }
            if (HasFatalFailure()) return;
        }
    }
}

// All rows are stored as those of the widest bits are, whatever kernel wrote them.
TEST_F(QuantizeRows, FirstPositionsHaveEightBits) {
    for (const int64_t group : {0, 64}) {
        for (ActivationFormat format : kWays) {
            format.group_size = group;
            format.clip = 0.9f;
            format.first_positions = 3;
            for (const int bits : {3, 4, 8}) {
                format.bits = bits;
                for (const Temper temper : kTempers) check(temper, 7, 576, format);
                check(Temper::Outliers, 70, 4096, format);
            }
            if (HasFatalFailure()) return;
        }
    }
}

TEST_F(QuantizeRows, RowsOf16Bits) {
    for (const DType dtype : {DType::F16, DType::BF16}) {
        check(Temper::Outliers, 33, 576, {.bits = 4, .clip = 0.9f}, dtype);
        check(Temper::Normal, 3, 90, {.bits = 8, .symmetric = false}, dtype);
    }
}

// Every quotient within a few steps of a tie, on both sides of it: where the reciprocal alone would
// round the wrong way.
TEST_F(QuantizeRows, NextToTiesTheDivisionDecides) {
    Matrix in(64, 512);
    Rng rng(9);
    for (int64_t r = 0; r < in.rows; ++r) {
        const float largest = std::uniform_real_distribution<float>(0.1f, 100.0f)(rng);
        const float scale = largest / 127.0f;
        for (int64_t c = 0; c < in.cols; ++c) {
            float x = scale * (static_cast<float>(c % 254) - 126.5f);
            for (int64_t step = 0; step < c % 7; ++step) x = std::nextafter(x, r % 2 ? 9e9f : 0.0f);
            in.row(r)[c] = x;
        }
        in.row(r)[0] = largest;
    }
    const ActivationFormat format{.bits = 8};
    const DeviceRows device(in, DType::F32);
    const DeviceCodes codes(in.rows, in.cols, format);
    cuda::quantize_rows(device.view(), codes.target(), nullptr);
    EXPECT_TRUE(same_codes(reference_codes(in, format), codes.download()));
}

TEST_F(QuantizeRows, NotesTheLowestSiteOfRowsThatAreNotFinite) {
    Matrix in(3, 64);
    in.row(1)[5] = std::numeric_limits<float>::quiet_NaN();
    in.row(2)[63] = -std::numeric_limits<float>::infinity();
    const DeviceRows device(in, DType::F32);
    const DeviceCodes codes(3, 64, {.bits = 4});
    for (const int32_t site : {9, 4, 6}) {
        cuda::quantize_rows(device.view(), codes.target(site), nullptr);
    }
    synchronize();
    EXPECT_EQ(codes.sites(), (std::vector<int32_t>{kNoSite, 4, 4}));
}

TEST_F(QuantizeRows, DequantizeIsScaleTimesCodeLessOffset) {
    for (ActivationFormat format : kWays) {
        for (const int64_t group : {0, 18}) {
            format.bits = 5;
            format.group_size = group;
            Rng rng(4);
            const Matrix in = make_matrix(Temper::Outliers, 20, 90, rng);
            const DeviceRows device(in, DType::F32), out(20, 90, DType::F32, 3);
            const DeviceCodes codes(20, 90, format);
            cuda::quantize_rows(device.view(), codes.target(), nullptr);
            cuda::dequantize_rows(codes.target().codes, out.view(), nullptr);
            const auto backend = backend_test::make_reference();
            backend_test::Bench bench(*backend);
            const Rows expected = bench.blank(20, 90);
            backend->dequantize(bench.quantize(in, format), expected);
            EXPECT_TRUE(backend_test::same(bench.download(expected).values, out.download().values));
            EXPECT_TRUE(out.padding_intact());
        }
    }
}

}  // namespace
}  // namespace quarot::cuda_test
