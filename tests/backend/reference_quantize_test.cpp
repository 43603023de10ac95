// Does the reference backend quantize activations, K and V as the published vectors say?
#include "backend/subject.h"
#include "backend/test_batch.h"
#include "tensor/float_convert.h"

namespace quarot::backend_test {
namespace {

using namespace kernels;

// x of the conformance vectors.
Matrix published_row() {
    Matrix x(1, 8);
    x.values = {0.125f, -0.5f, 1.0f, 2.0f, -3.0f, 0.75f, 0.0625f, -1.25f};
    return x;
}

Matrix row_of(std::vector<float> values) {
    Matrix x(1, static_cast<int64_t>(values.size()));
    x.values = std::move(values);
    return x;
}

class ReferenceQuantize : public testing::Test {
  protected:
    Codes quantize(const Matrix& x, const ActivationFormat& format) {
        const QuantizedRows out = bench_.blank_codes(x.rows, x.cols, format);
        const SiteNote note = bench_.note(1, x.rows);
        backend_->quantize(bench_.upload(x), out, note);
        site_ = bench_.sites(note, 1)[0];
        return bench_.download(out);
    }
    // K and V of one token, stored and read back.
    KvStore::Entry store(KvKind kind, const Matrix& x, const KvFormat& format) {
        const KvDescriptor d{.n_layers = 1,
                             .n_kv_heads = 1,
                             .head_dim = x.cols,
                             .page_tokens = 4,
                             .k = format,
                             .v = format};
        const auto kv = backend_->make_kv_store(d, 1);
        const TestBatch batch(bench_, {{0, 1}}, 4, 1);
        const SiteNote note = bench_.note(2, 1);
        backend_->append_kv({bench_.upload(x), bench_.upload(x), 0, batch.view(), *kv, note});
        site_ = bench_.sites(note, 1)[0];
        return kv->read(kind, 0, 0, 0, 0);
    }
    std::unique_ptr<Backend> backend_ = make_reference();
    Bench bench_{*backend_};
    Site site_ = kNoSite;  // of the first row of the last call
};

TEST_F(ReferenceQuantize, SymmetricActivationsMatchThePublishedVector) {
    const Codes out = quantize(published_row(), {.bits = 4, .clip = 0.9f});
    EXPECT_EQ(out.codes, (std::vector<int8_t>{0, -1, 3, 5, -8, 2, 0, -3}));
    EXPECT_EQ(out.scales[0], 0.385714263f);
    EXPECT_EQ(out.row_sums[0], -2);
    EXPECT_TRUE(out.offsets.empty());
    EXPECT_EQ(site_, kNoSite);
}

TEST_F(ReferenceQuantize, AsymmetricActivationsKeepTheCodesOfK) {
    const Codes out = quantize(published_row(), {.bits = 4, .symmetric = false, .clip = 0.95f});
    // q - 8 of the published 9 7 12 15 0 11 9 5, zero point 9
    EXPECT_EQ(out.codes, (std::vector<int8_t>{1, -1, 4, 7, -8, 3, 1, -3}));
    EXPECT_EQ(out.offsets[0], 1);
    EXPECT_EQ(out.scales[0], 0.316666663f);
    EXPECT_EQ(out.row_sums[0], 4);
}

TEST_F(ReferenceQuantize, KeysAndValuesMatchThePublishedVector) {
    for (const bool includes_zero : {true, false}) {
        for (const KvKind kind : {KvKind::Key, KvKind::Value}) {
            const auto entry =
                store(kind, published_row(),
                      {.bits = 4, .clip = 0.95f, .range_includes_zero = includes_zero});
            EXPECT_EQ(entry.codes, (std::vector<int32_t>{9, 7, 12, 15, 0, 11, 9, 5}));
            EXPECT_EQ(entry.scales, (std::vector<float>{0.316666663f}));
            EXPECT_EQ(entry.zeros, (std::vector<int32_t>{9}));
            for (size_t i = 0; i < 8; ++i) {
                EXPECT_EQ(entry.values[i], 0.316666663f * static_cast<float>(entry.codes[i] - 9));
            }
        }
    }
}

TEST_F(ReferenceQuantize, OnlyRangesThatIncludeZeroReachIt) {
    const Matrix x = row_of({1.0f, 2.0f, 3.0f, 4.0f});
    const auto k = store(KvKind::Key, x, {.bits = 2, .range_includes_zero = true});
    EXPECT_EQ(k.scales[0], 4.0f / 3.0f);
    EXPECT_EQ(k.zeros[0], 0);
    const auto v = store(KvKind::Value, x, {.bits = 2, .range_includes_zero = false});
    EXPECT_EQ(v.scales[0], 1.0f);
    EXPECT_EQ(v.zeros[0], -1);
    EXPECT_EQ(v.codes, (std::vector<int32_t>{0, 1, 2, 3}));
    EXPECT_EQ(v.values, x.values);
}

TEST_F(ReferenceQuantize, CodesBelongToTheScaleAsHalvesHoldIt) {
    const Matrix x = row_of({3000.0f, 3004.8f, 3010.0f, 3016.0f});
    const KvFormat format{.bits = 4, .range_includes_zero = false, .scales = DType::F16};
    const auto v = store(KvKind::Value, x, format);
    const float scale = f16_to_f32(f32_to_f16(16.0f / 15.0f));
    EXPECT_EQ(v.scales, (std::vector<float>{scale}));
    EXPECT_EQ(v.zeros, (std::vector<int32_t>{-2813}));
    for (size_t i = 0; i < 4; ++i) {
        const float code = std::nearbyint(x.values[i] / scale) - 2813.0f;
        EXPECT_EQ(v.codes[i], static_cast<int32_t>(std::clamp(code, 0.0f, 15.0f))) << i;
        EXPECT_EQ(v.values[i], scale * static_cast<float>(v.codes[i] + 2813)) << i;
    }
}

TEST_F(ReferenceQuantize, ActivationRowsIncludeZeroAndGroupsDoNot) {
    const Matrix x = row_of({1.0f, 2.0f, 3.0f, 4.0f});
    const Codes row = quantize(x, {.bits = 2, .symmetric = false});
    EXPECT_EQ(row.scales[0], 4.0f / 3.0f);
    EXPECT_EQ(row.offsets[0], -2);
    const Codes group = quantize(x, {.bits = 2, .group_size = 4, .symmetric = false});
    EXPECT_EQ(group.scales[0], 1.0f);
    EXPECT_EQ(group.offsets[0], -3);
    EXPECT_EQ(group.codes, (std::vector<int8_t>{-2, -1, 0, 1}));
}

TEST_F(ReferenceQuantize, RealZeroPointsKeepTheLowestValue) {
    const Matrix x = row_of({1.5f, 2.0f, 3.0f, 4.5f});
    const Codes group =
        quantize(x, {.bits = 2, .group_size = 4, .symmetric = false, .zero = ZeroPoint::Real});
    EXPECT_EQ(group.scales, (std::vector<float>{1.0f}));
    EXPECT_EQ(group.bases, (std::vector<float>{1.5f + 2.0f}));
    EXPECT_EQ(group.codes, (std::vector<int8_t>{-2, -2, 0, 1}));  // 0.5 and 1.5 round to even
    EXPECT_EQ(group.row_sums, (std::vector<int32_t>{-3}));
    EXPECT_TRUE(group.offsets.empty());
    const Codes row = quantize(x, {.bits = 2, .symmetric = false, .zero = ZeroPoint::Real});
    EXPECT_EQ(row.scales, (std::vector<float>{1.5f}));  // the range of a row includes 0
    EXPECT_EQ(row.bases, (std::vector<float>{3.0f}));
    EXPECT_EQ(row.codes, (std::vector<int8_t>{-1, -1, 0, 1}));
}

// One value all over: the range is extended to include 0; zeros: to (-1, 1).
TEST_F(ReferenceQuantize, RealZeroPointsOfConstantGroups) {
    const ActivationFormat format{
        .bits = 2, .group_size = 2, .symmetric = false, .zero = ZeroPoint::Real};
    const Codes out = quantize(row_of({3.0f, 3.0f, -6.0f, -6.0f, 0.0f, 0.0f}), format);
    EXPECT_EQ(out.scales, (std::vector<float>{1.0f, 2.0f, 2.0f / 3.0f}));
    EXPECT_EQ(out.codes, (std::vector<int8_t>{1, 1, -2, -2, 0, 0}));  // 1.5 rounds to 2
    EXPECT_EQ(out.bases, (std::vector<float>{2.0f, -2.0f, -1.0f + 2.0f / 3.0f * 2.0f}));
}

// The formula again in double, from the clipped range of every group to the dequantized value.
TEST_F(ReferenceQuantize, RealZeroPointsAgreeWithDoubles) {
    for (const int bits : {2, 3, 4, 5, 6, 7, 8}) {
        for (const int64_t group_size : {0, 32}) {
            for (const Temper temper : {Temper::Normal, Temper::Outliers, Temper::FarOff}) {
                SCOPED_TRACE(testing::Message() << "seed " << bits << " group " << group_size
                                                << " temper " << static_cast<int>(temper));
                Rng rng(static_cast<uint32_t>(bits));
                constexpr int64_t kRows = 5, kCols = 96;
                constexpr float kClip = 0.9f;
                const Matrix x = make_matrix(temper, kRows, kCols, rng);
                const Codes out = quantize(x, {.bits = bits,
                                               .group_size = group_size,
                                               .symmetric = false,
                                               .clip = kClip,
                                               .zero = ZeroPoint::Real});
                const auto size = static_cast<size_t>(group_size == 0 ? kCols : group_size);
                const double levels = std::ldexp(1.0, bits) - 1.0;
                for (size_t g = 0; g < x.values.size() / size; ++g) {
                    const std::span values(x.values.data() + g * size, size);
                    double lo = group_size == 0 ? 0.0 : values[0], hi = lo;
                    for (const float v : values) lo = std::min<double>(lo, v);
                    for (const float v : values) hi = std::max<double>(hi, v);
                    lo *= kClip;
                    hi *= kClip;
                    const double scale = (hi - lo) / levels;
                    const double rounding = 1e-6 * std::max(std::fabs(lo), std::fabs(hi));
                    EXPECT_NEAR(out.scales[g], scale, rounding / levels + 1e-6 * scale);
                    EXPECT_NEAR(out.bases[g], lo + scale * std::ldexp(1.0, bits - 1), rounding);
                    for (size_t i = 0; i < size; ++i) {
                        const double kept = std::clamp<double>(values[i], lo, hi);
                        const double value =
                            1.0 * out.scales[g] * out.codes[g * size + i] + out.bases[g];
                        ASSERT_NEAR(value, kept, scale / 2.0 + 2.0 * rounding) << g << " " << i;
                    }
                }
            }
        }
    }
}

// Padding stands at position -1 and is never first.
TEST_F(ReferenceQuantize, FirstPositionsHaveEightBitsAndNoClip) {
    const ActivationFormat format{.bits = 4, .clip = 0.9f, .first_positions = 2};
    const Codes first = quantize(published_row(), {.bits = 8});
    const Codes other = quantize(published_row(), {.bits = 4, .clip = 0.9f});
    Matrix x(3, 8);
    for (int64_t r = 0; r < x.rows; ++r) std::ranges::copy(published_row().values, x.row(r));
    const auto expect_rows = [&](const QuantizedRows& out, std::vector<bool> is_first) {
        backend_->quantize(bench_.upload(x), out, {});
        const Codes found = bench_.download(out);
        for (size_t r = 0; r < is_first.size(); ++r) {
            const Codes& expected = is_first[r] ? first : other;
            const auto codes = found.codes.begin() + static_cast<std::ptrdiff_t>(8 * r);
            EXPECT_EQ(std::vector<int8_t>(codes, codes + 8), expected.codes) << r;
            EXPECT_EQ(found.scales[r], expected.scales[0]) << r;
            EXPECT_EQ(found.row_sums[r], expected.row_sums[0]) << r;
        }
    };
    QuantizedRows out = bench_.blank_codes(3, 8, format);
    out.positions = bench_.upload(std::vector<int32_t>{2, 1, -1});
    expect_rows(out, {false, true, false});
    out.token_of = bench_.upload(std::vector<int32_t>{1, 0, 1});
    expect_rows(out, {true, false, true});
    out.positions = nullptr;
    expect_rows(out, {false, false, false});
}

TEST_F(ReferenceQuantize, FirstPositionsNeverHaveFewerBits) {
    const ActivationFormat format{.bits = 8, .first_positions = 1};
    EXPECT_EQ(format.at(0).bits, 8);
    EXPECT_EQ((ActivationFormat{.bits = 16, .first_positions = 1}.at(0).bits), 16);
}

TEST_F(ReferenceQuantize, EveryGroupHasItsOwnScale) {
    const Codes out = quantize(row_of({7.0f, -1.0f, 70.0f, 20.0f}), {.bits = 4, .group_size = 2});
    EXPECT_EQ(out.scales, (std::vector<float>{1.0f, 10.0f}));
    EXPECT_EQ(out.codes, (std::vector<int8_t>{7, -1, 7, 2}));
    EXPECT_EQ(out.row_sums, (std::vector<int32_t>{6, 9}));
    const auto k =
        store(KvKind::Key, row_of({15.0f, 0.0f, 30.0f, 2.0f}), {.bits = 4, .group_size = 2});
    EXPECT_EQ(k.scales, (std::vector<float>{1.0f, 2.0f}));
    EXPECT_EQ(k.codes, (std::vector<int32_t>{15, 0, 15, 1}));
}

// The largest step is 255 units, the others are whole numbers of them from 1 on.
TEST_F(ReferenceQuantize, StepsOfTwoLevelsAreWholeUnitsOfTheirRow) {
    const ActivationFormat format{.bits = 4, .group_size = 2, .scales = ActivationScales::TwoLevel};
    const Codes out = quantize(
        row_of({1785.0f, -7.0f, 73.0f, 14.0f, 9.4f, 0.0f, 0.2f, 0.0f, 0.0f, 0.0f}), format);
    EXPECT_EQ(out.scales, (std::vector<float>{255.0f, 10.0f, 1.0f, 1.0f, 1.0f}));
    EXPECT_EQ(out.codes, (std::vector<int8_t>{7, 0, 7, 1, 7, 0, 0, 0, 0, 0}));
    const Codes zeros = quantize(row_of({0.0f, 0.0f}), format);
    EXPECT_EQ(zeros.scales, (std::vector<float>{1.0f}));
    EXPECT_EQ(zeros.codes, (std::vector<int8_t>{0, 0}));
}

// Lowest values are whole numbers of 16 units; the range of every group includes 0.
TEST_F(ReferenceQuantize, RealZeroPointsOfTwoLevels) {
    const ActivationFormat format{.bits = 4,
                                  .group_size = 2,
                                  .symmetric = false,
                                  .zero = ZeroPoint::Real,
                                  .scales = ActivationScales::TwoLevel};
    const Codes out =
        quantize(row_of({0.0f, 3825.0f, -40.0f, 35.0f, -3825.0f, -3000.0f, 30.0f, 60.0f}), format);
    EXPECT_EQ(out.scales, (std::vector<float>{255.0f, 5.0f, 255.0f, 4.0f}));
    // 0, -32 (2.5 times 16 rounds to 2), -3824 and 0, each 8 steps below the code 0
    EXPECT_EQ(out.bases, (std::vector<float>{2040.0f, 8.0f, -1784.0f, 32.0f}));
    EXPECT_EQ(out.codes, (std::vector<int8_t>{-8, 7, -8, 5, -8, -5, 0, 7}));
}

TEST_F(ReferenceQuantize, AnUnusableGroupLeavesTheUnitToTheOthers) {
    const ActivationFormat format{.bits = 4, .group_size = 2, .scales = ActivationScales::TwoLevel};
    const float inf = std::numeric_limits<float>::infinity();
    const Codes out = quantize(row_of({inf, 1.0f, 1785.0f, 0.0f}), format);
    EXPECT_EQ(out.scales, (std::vector<float>{1.0f, 255.0f}));
    EXPECT_EQ(out.codes, (std::vector<int8_t>{0, 0, 7, 0}));
    EXPECT_EQ(site_, 1);
}

// A hundredth of the error of a number for each scale and zero point, and no more.
TEST_F(ReferenceQuantize, TwoLevelsCostNextToNothing) {
    Rng rng(7);
    const Matrix x = normal_matrix(64, 576, rng);
    const auto error = [&](bool symmetric, ActivationScales scales) {
        const Codes out = quantize(x, {.bits = 4,
                                       .group_size = 32,
                                       .symmetric = symmetric,
                                       .zero = symmetric ? ZeroPoint::Integer : ZeroPoint::Real,
                                       .scales = scales});
        double sum = 0.0;
        for (size_t i = 0; i < x.values.size(); ++i) {
            const size_t g = i / 32;
            const double base = symmetric ? 0.0 : out.bases[g];
            sum += std::pow(1.0 * out.scales[g] * out.codes[i] + base - x.values[i], 2.0);
        }
        return sum;
    };
    for (const bool symmetric : {true, false}) {
        EXPECT_LT(error(symmetric, ActivationScales::TwoLevel),
                  1.01 * error(symmetric, ActivationScales::Group));
    }
}

TEST_F(ReferenceQuantize, RoundsHalfToEven) {
    const Codes out =
        quantize(row_of({7.0f, 0.5f, 1.5f, 2.5f, -0.5f, -1.5f, 3.5f, 4.5f}), {.bits = 4});
    EXPECT_EQ(out.codes, (std::vector<int8_t>{7, 0, 2, 2, 0, -2, 4, 4}));
}

TEST_F(ReferenceQuantize, ZerosHaveScaleOne) {
    const Codes out = quantize(row_of({0.0f, 0.0f, 0.0f}), {.bits = 4});
    EXPECT_EQ(out.scales[0], 1.0f);
    EXPECT_EQ(out.codes, (std::vector<int8_t>{0, 0, 0}));
}

TEST_F(ReferenceQuantize, NonFiniteGroupBecomesZerosAndItsSiteIsKept) {
    const float nan = std::numeric_limits<float>::quiet_NaN();
    const float inf = std::numeric_limits<float>::infinity();
    for (const float bad : {nan, inf, -inf}) {
        const Codes real =
            quantize(row_of({1.0f, bad, 7.0f, 0.0f}),
                     {.bits = 4, .group_size = 2, .symmetric = false, .zero = ZeroPoint::Real});
        EXPECT_EQ(real.codes[1], 0);
        EXPECT_EQ(real.scales[0], 1.0f);
        EXPECT_EQ(real.bases[0], 0.0f);
        EXPECT_EQ(site_, 1);
        for (const bool symmetric : {true, false}) {
            const Codes out = quantize(row_of({1.0f, bad, 7.0f, 0.0f}),
                                       {.bits = 4, .group_size = 2, .symmetric = symmetric});
            EXPECT_EQ(out.codes[0], 0);
            EXPECT_EQ(out.codes[1], 0);
            EXPECT_EQ(out.scales[0], 1.0f);
            EXPECT_EQ(out.scales[1], symmetric ? 1.0f : 7.0f / 15.0f);
            if (!symmetric) {
                EXPECT_EQ(out.offsets[0], 0);
            }
            EXPECT_EQ(site_, 1);
        }
        const auto k = store(KvKind::Key, row_of({1.0f, bad, 7.0f, 0.0f}), {.bits = 4});
        EXPECT_EQ(k.values, (std::vector<float>{0.0f, 0.0f, 0.0f, 0.0f}));
        EXPECT_EQ(site_, 2);
    }
}

TEST_F(ReferenceQuantize, SixteenBitsKeepEveryBitOfKeysAndValues) {
    const auto k = store(KvKind::Key, published_row(), {.bits = 16});
    EXPECT_TRUE(k.codes.empty());
    EXPECT_EQ(k.values, published_row().values);
}

TEST_F(ReferenceQuantize, ExemptPositionsAreFloatAlsoWhenAPageIsUsedAgain) {
    const KvFormat format{.bits = 4, .exempt_positions = 5};
    const KvDescriptor d{
        .n_layers = 1, .n_kv_heads = 2, .head_dim = 8, .page_tokens = 4, .k = format, .v = {}};
    const auto kv = backend_->make_kv_store(d, 2);
    Rng rng(1);
    const Matrix x = normal_matrix(8, 16, rng);
    for (const bool reversed : {false, true}) {  // the pages change places
        const TestBatch forwards(bench_, {{0, 8}}, 4, 2);
        BatchView batch = forwards.view();
        const std::vector<int32_t> pages = reversed ? std::vector{0, 1} : std::vector{1, 0};
        batch.pages = bench_.upload(pages);
        backend_->append_kv({bench_.upload(x), bench_.upload(x), 0, batch, *kv, {}});
        for (int64_t p = 0; p < 8; ++p) {
            const auto entry =
                kv->read(KvKind::Key, 0, pages[static_cast<size_t>(p / 4)], p % 4, 1);
            EXPECT_EQ(entry.codes.empty(), p < 5) << p;
            if (p < 5) {
                EXPECT_TRUE(same(std::span(x.row(p) + 8, 8), entry.values));
            }
        }
    }
}

TEST_F(ReferenceQuantize, FormatsOutsideTheContractAreRefused) {
    const auto code_of = [&](const KvFormat& format) {
        try {
            backend_->make_kv_store({.n_layers = 1, .n_kv_heads = 1, .head_dim = 8, .k = format},
                                    1);
        } catch (const Error& error) {
            return error.code();
        }
        return ErrorCode::Internal;
    };
    EXPECT_EQ(code_of({.bits = 1}), ErrorCode::Unsupported);
    EXPECT_EQ(code_of({.bits = 9}), ErrorCode::Unsupported);
    EXPECT_EQ(code_of({.bits = 4, .group_size = 3}), ErrorCode::Unsupported);
    EXPECT_EQ(code_of({.bits = 4, .clip = 0.0f}), ErrorCode::Unsupported);
    EXPECT_EQ(code_of({.bits = 4, .scales = DType::BF16}), ErrorCode::Unsupported);
    const KvDescriptor huge{
        .n_layers = int64_t{1} << 40, .n_kv_heads = int64_t{1} << 20, .head_dim = 64};
    EXPECT_THROW(backend_->make_kv_store(huge, int64_t{1} << 20), Error);
}

}  // namespace
}  // namespace quarot::backend_test
