// Does the transform with halves between its parts round where it should, and do the backends agree
// on it?
#include <fmt/format.h>

#include <algorithm>

#include "backend/cases.h"
#include "backend/subject.h"
#include "tensor/float_convert.h"

namespace quarot::backend_test {
namespace {

using namespace kernels;
using linalg::Mixer;

constexpr float kLargestHalf = 65504.0f;

Matrix transform(Backend& backend, const Mixer& mixer, int64_t inner, const Matrix& in,
                 DType storage = DType::F16) {
    Bench bench(backend);
    const auto prepared = backend.prepare_transform(mixer, inner, storage);
    const Rows rows = bench.upload(in, in.rows == 3 ? 7 : 0);
    backend.transform(*prepared, rows);
    return bench.download(rows);
}

float half(float value) {
    return f16_to_f32(f32_to_f16(std::clamp(value, -kLargestHalf, kLargestHalf)));
}

// The distance of halves around `value`.
double half_step(double value) {
    const double power = std::exp2(std::floor(std::log2(std::max(std::fabs(value), 0x1p-14))));
    return power * 0x1p-10;
}

// After the Sylvester factor and its scale, in double, of halves.
std::vector<double> after_sylvester(const MixerShape& shape, const Mixer& mixer, const Matrix& in) {
    std::vector<double> x;
    for (const float value : in.values) x.push_back(half(value));
    const int64_t order = mixer.sylvester_order();
    const Mixer sylvester{.kind = linalg::MixerKind::Hadamard, .n = order};
    const auto width = static_cast<size_t>(order * shape.inner);
    for (size_t first = 0; first < x.size(); first += width) {
        linalg::apply_strided(sylvester, std::span(x).subspan(first, width), shape.inner);
    }
    for (double& value : x) value /= std::sqrt(static_cast<double>(mixer.dense_order));
    return x;
}

class Transform16 : public FastBackend {};
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(Transform16);

// fp32 sums may fall on the other side of a tie of halves: one step of the result, and where there
// is a dense factor one step of each intermediate that does, seldom more than one of a sum; three
// are allowed.
TEST_P(Transform16, AgreesWithTheReference) {
    for (const MixerShape& shape : kMixerShapes) {
        const Mixer mixer = linalg::make_mixer(shape.n);
        for (const int64_t rows : kRowCounts) {
            for (const Temper temper : {Temper::Normal, Temper::Outliers, Temper::Zeros}) {
                SCOPED_TRACE(fmt::format("seed {}: n {} inner {}", rows, shape.n, shape.inner));
                Rng rng(static_cast<uint32_t>(rows));
                const int64_t cols = shape.n * shape.inner * shape.blocks;
                const Matrix in = make_matrix(temper, rows, cols, rng);
                const auto middle = after_sylvester(shape, mixer, in);
                double largest = 0.0;
                for (const double value : middle) largest = std::max(largest, std::fabs(value));
                const double allowed = mixer.dense_order == 1 ? 0.0 : 3.0 * half_step(largest);
                const Matrix expected = transform(*reference_, mixer, shape.inner, in);
                const Matrix actual = transform(*subject_, mixer, shape.inner, in);
                ASSERT_TRUE(near(expected.values, actual.values, [&](size_t i) {
                    return allowed + half_step(expected.values[i]);
                }));
            }
        }
    }
}

TEST_P(Transform16, TiersGiveTheSameBits) {
    const auto first = make(fast_backends().front());
    for (const MixerShape& shape : kMixerShapes) {
        const Mixer mixer = linalg::make_mixer(shape.n);
        SCOPED_TRACE(fmt::format("seed 3: n {} inner {}", shape.n, shape.inner));
        Rng rng(3);
        const int64_t cols = shape.n * shape.inner * shape.blocks;
        const Matrix in = make_matrix(Temper::Outliers, 3, cols, rng);
        ASSERT_TRUE(same(transform(*first, mixer, shape.inner, in).values,
                         transform(*subject_, mixer, shape.inner, in).values));
    }
}

class Transform16OfAny : public AnyBackend {
  protected:
    std::unique_ptr<Backend> backend_ = make(GetParam(), 2);
};

TEST_P(Transform16OfAny, ResultsAreHalvesNearTheUnroundedTransform) {
    for (const MixerShape& shape : kMixerShapes) {
        SCOPED_TRACE(fmt::format("seed 1: n {} inner {}", shape.n, shape.inner));
        const Mixer mixer = linalg::make_mixer(shape.n);
        Rng rng(1);
        const Matrix in = normal_matrix(3, shape.n * shape.inner * shape.blocks, rng);
        const Matrix exact = transform(*backend_, mixer, shape.inner, in, DType::F32);
        const Matrix actual = transform(*backend_, mixer, shape.inner, in);
        for (const float value : actual.values) ASSERT_EQ(value, half(value));
        // Three roundings, each of numbers below 8 and independent of the others.
        ASSERT_TRUE(near(exact.values, actual.values, [](size_t) { return 3 * half_step(4.0); }));
    }
}

// Every half comes through the order-2 transform of (x, 0) as half(x / sqrt(2)), so rounding to
// halves is seen at every number of the format; and what lies between two halves is rounded first.
TEST_P(Transform16OfAny, RoundsInputAndResultToTheNearestHalf) {
    const auto factor = static_cast<float>(1.0 / std::sqrt(2.0));
    Matrix in(1, 2 * 0x7c00 * 3);
    std::vector<float> expected;
    for (uint32_t bits = 0; bits < 0x7c00u; ++bits) {
        const float here = f16_to_f32(static_cast<uint16_t>(bits));
        const float next = bits == 0x7bffu ? 65536.0f : f16_to_f32(static_cast<uint16_t>(bits + 1));
        const float middle = (here + next) / 2.0f, sign = bits % 3 == 0 ? -1.0f : 1.0f;
        const float inputs[] = {here, middle, std::nextafter(middle, 0.0f)};
        for (size_t i = 0; i < 3; ++i) {
            in.values[2 * (3 * bits + i)] = sign * inputs[i];
            const float result = half(half(sign * inputs[i]) * factor);
            expected.insert(expected.end(), {result, result});
        }
    }
    const Matrix actual = transform(*backend_, linalg::make_mixer(2), 1, in);
    if (GetParam().backend == "reference") {
        ASSERT_TRUE(
            near(expected, actual.values, [&](size_t i) { return half_step(expected[i]); }));
    } else {
        ASSERT_TRUE(same(expected, actual.values));
    }
}

// Sums of twelve halves are exact in fp32; without the rounding in between some would differ.
TEST_P(Transform16OfAny, RoundsBetweenTheSylvesterAndTheDenseFactor) {
    const Mixer mixer = linalg::make_mixer(12);
    ASSERT_EQ(mixer.dense_order, 12);
    const auto factor = static_cast<float>(1.0 / std::sqrt(12.0));
    Matrix in(1, 12);
    for (size_t i = 0; i < 12; ++i) in.values[i] = 1.0f + static_cast<float>(i) / 8.0f;
    const Matrix out = transform(*backend_, mixer, 1, in);
    int n_that_differ = 0;
    for (size_t k = 0; k < 12; ++k) {
        float rounded = 0.0f, unrounded = 0.0f;
        for (size_t i = 0; i < 12; ++i) {
            const auto sign = static_cast<float>(mixer.dense[k * 12 + i]);
            rounded += sign * half(in.values[i] * factor);
            unrounded += sign * in.values[i] * factor;
        }
        EXPECT_EQ(out.values[k], half(rounded)) << k;
        n_that_differ += half(rounded) != half(unrounded) ? 1 : 0;
    }
    EXPECT_GT(n_that_differ, 3);
}

TEST_P(Transform16OfAny, StopsAtTheLargestHalf) {
    Matrix in(1, 8);
    std::ranges::fill(in.values, -3e38f);
    const Matrix out = transform(*backend_, linalg::make_mixer(8), 1, in);
    // -65504 * 8 / sqrt(8) does not fit.
    EXPECT_EQ(out.values, (std::vector<float>{-kLargestHalf, 0, 0, 0, 0, 0, 0, 0}));
    Matrix one(1, 2);
    one.values = {1e6f, 0.0f};
    const float scaled = half(kLargestHalf * static_cast<float>(std::sqrt(0.5)));
    EXPECT_EQ(transform(*backend_, linalg::make_mixer(2), 1, one).values,
              (std::vector<float>{scaled, scaled}));
}

TEST_P(Transform16OfAny, NanAndInfStayVisibleToTheNextQuantizer) {
    for (const float bad :
         {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
          -std::numeric_limits<float>::infinity()}) {
        for (const int64_t n : {8, 64, 12, 96, 90}) {
            Matrix in(2, 2 * n);
            in.values[static_cast<size_t>(n + 3)] = bad;
            Bench bench(*backend_);
            const auto mixer = backend_->prepare_transform(linalg::make_mixer(n), 1, DType::F16);
            const Rows rows = bench.upload(in);
            const SiteNote note = bench.note(7, 2);
            backend_->transform_quantize(mixer.get(), rows,
                                         {bench.blank_codes(2, 2 * n, {.bits = 4})}, note);
            EXPECT_EQ(bench.sites(note, 2), (std::vector<Site>{7, kNoSite})) << bad << " " << n;
            const Rows transformed = bench.upload(in);
            backend_->transform(*mixer, transformed);
            const Matrix out = bench.download(transformed);
            for (int64_t c = 0; c < 4 * n; ++c) {
                const bool beside = c < n || c >= 2 * n;  // another block or another row
                EXPECT_EQ(std::isfinite(out.values[static_cast<size_t>(c)]), beside) << c;
            }
        }
    }
}

TEST_P(Transform16OfAny, IdentityRoundsNothing) {
    Rng rng(2);
    const Matrix in = normal_matrix(2, 90, rng);
    EXPECT_TRUE(same(in.values, transform(*backend_, linalg::identity_mixer(9), 10, in).values));
}

TEST_P(Transform16OfAny, StorageF32IsTheDefault) {
    Rng rng(4);
    const Matrix in = normal_matrix(2, 96, rng);
    Bench bench(*backend_);
    const Rows rows = bench.upload(in);
    backend_->transform(*backend_->prepare_transform(linalg::make_mixer(96), 1), rows);
    EXPECT_TRUE(same(bench.download(rows).values,
                     transform(*backend_, linalg::make_mixer(96), 1, in, DType::F32).values));
}

INSTANTIATE_TEST_SUITE_P(Fast, Transform16, testing::ValuesIn(fast_backends()),
                         testing::PrintToStringParamName());
INSTANTIATE_TEST_SUITE_P(All, Transform16OfAny, testing::ValuesIn(all_backends()),
                         testing::PrintToStringParamName());

}  // namespace
}  // namespace quarot::backend_test
