// Do the codes, scales, offsets, bases and sums of quantized activations equal the reference's?
#include <fmt/format.h>

#include "backend/cases.h"
#include "backend/subject.h"

namespace quarot::backend_test {
namespace {

using namespace kernels;

struct Outcome {
    Codes codes;
    std::vector<Site> sites;
};

Outcome quantize(Backend& backend, const Matrix& in, const ActivationFormat& format,
                 int64_t padding) {
    Bench bench(backend);
    const QuantizedRows out = bench.blank_codes(in.rows, in.cols, format);
    const SiteNote note = bench.note(17, in.rows);
    backend.quantize(bench.upload(in, padding), out, note);
    return {bench.download(out), bench.sites(note, in.rows)};
}

void expect_equal(const Outcome& expected, const Outcome& actual) {
    EXPECT_TRUE(same(expected.codes.codes, actual.codes.codes)) << "codes";
    EXPECT_TRUE(same(expected.codes.scales, actual.codes.scales)) << "scales";
    EXPECT_TRUE(same(expected.codes.offsets, actual.codes.offsets)) << "offsets";
    EXPECT_TRUE(same(expected.codes.bases, actual.codes.bases)) << "bases";
    EXPECT_TRUE(same(expected.codes.row_sums, actual.codes.row_sums)) << "row sums";
    EXPECT_EQ(expected.sites, actual.sites);
    EXPECT_TRUE(actual.codes.padding_is_zero);
}

struct Way {
    bool symmetric;
    ZeroPoint zero;
};
constexpr Way kWays[] = {
    {true, ZeroPoint::Integer}, {false, ZeroPoint::Integer}, {false, ZeroPoint::Real}};

class QuantizeConformance : public FastBackend {
  protected:
    void check(Temper temper, int64_t rows, int64_t cols, const ActivationFormat& format) {
        const auto seed = static_cast<uint32_t>(1000 * cols + 10 * rows + format.bits);
        SCOPED_TRACE(fmt::format("seed {} temper {} {} x {} bits {} {} group {} clip {}", seed,
                                 static_cast<int>(temper), rows, cols, format.bits,
                                 format.symmetric     ? "symmetric"
                                 : format.has_bases() ? "real"
                                                      : "asymmetric",
                                 format.group_size, format.clip));
        Rng rng(seed);
        const Matrix in = make_matrix(temper, rows, cols, rng);
        const int64_t padding = rows == 3 ? 5 : 0;
        expect_equal(quantize(*reference_, in, format, padding),
                     quantize(*subject_, in, format, padding));
    }
};
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(QuantizeConformance);

TEST_P(QuantizeConformance, EveryShapeAndWidthOfCode) {
    for (const int64_t rows : kRowCounts) {
        for (const int64_t cols : kWidths) {
            for (const int bits : kBits) {
                for (const Way& way : kWays) {
                    check(
                        Temper::Outliers, rows, cols,
                        {.bits = bits, .symmetric = way.symmetric, .clip = 0.9f, .zero = way.zero});
                    if (HasFailure()) return;
                }
            }
        }
    }
}

TEST_P(QuantizeConformance, EveryTemperAndWidthOfCode) {
    for (const Temper temper : kTempers) {
        for (const int64_t cols : {8, 90, 172}) {
            for (const int bits : kBits) {
                for (const Way& way : kWays) {
                    check(temper, 7, cols,
                          {.bits = bits,
                           .symmetric = way.symmetric,
                           .clip = 0.95f,
                           .zero = way.zero});
                    if (HasFailure()) return;
                }
            }
        }
    }
}

TEST_P(QuantizeConformance, GroupsOfEverySize) {
    for (const int64_t group_size : {2, 15, 18, 30, 32, 43, 64, 86, 90, 128, 192}) {
        for (const int64_t cols : kWidths) {
            if (cols % group_size != 0) continue;
            for (const Way& way : kWays) {
                for (const Temper temper : kTempers) {
                    for (const int bits : {3, 8}) {
                        check(temper, 2, cols,
                              {.bits = bits,
                               .group_size = group_size,
                               .symmetric = way.symmetric,
                               .zero = way.zero});
                        if (HasFailure()) return;
                    }
                }
            }
        }
    }
}

TEST_P(QuantizeConformance, FirstPositions) {
    for (const int64_t group_size : {0, 64}) {
        for (const Way& way : kWays) {
            check(Temper::Outliers, 7, 576,
                  {.bits = 4,
                   .group_size = group_size,
                   .symmetric = way.symmetric,
                   .clip = 0.9f,
                   .zero = way.zero,
                   .first_positions = 3});
        }
    }
}

TEST_P(QuantizeConformance, TwoLevelScales) {
    for (const Temper temper : kTempers) {
        for (const auto& [cols, group_size] : {std::pair{90, 15}, {576, 32}, {768, 64}, {64, 64}}) {
            for (const int bits : {3, 4, 8}) {
                for (const bool symmetric : {true, false}) {
                    check(temper, 7, cols,
                          {.bits = bits,
                           .group_size = group_size,
                           .symmetric = symmetric,
                           .clip = 0.95f,
                           .zero = symmetric ? ZeroPoint::Integer : ZeroPoint::Real,
                           .scales = ActivationScales::TwoLevel,
                           .first_positions = 2});
                    if (HasFailure()) return;
                }
            }
        }
    }
}

TEST_P(QuantizeConformance, TheLowestSiteOfEachRowIsNoted) {
    Bench bench(*subject_);
    Rng rng(3);
    const QuantizedRows out = bench.blank_codes(3, 64, {.bits = 4});
    SiteNote note = bench.note(0, 3);
    const std::vector<std::pair<Site, std::vector<int64_t>>> calls = {
        {9, {0}}, {4, {0, 2}}, {6, {0, 1, 2}}};
    for (const auto& [site, bad_rows] : calls) {
        Matrix in = normal_matrix(3, 64, rng);
        for (const int64_t row : bad_rows)
            in.row(row)[63] = -std::numeric_limits<float>::infinity();
        note.site = site;
        subject_->quantize(bench.upload(in), out, note);
    }
    EXPECT_EQ(bench.sites(note, 3), (std::vector<Site>{4, 6, 4}));
}

INSTANTIATE_TEST_SUITE_P(Fast, QuantizeConformance, testing::ValuesIn(fast_backends()),
                         testing::PrintToStringParamName());

}  // namespace
}  // namespace quarot::backend_test
