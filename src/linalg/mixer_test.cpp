#include "linalg/mixer.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <numeric>
#include <random>

#include "linalg/blas.h"
#include "linalg/hadamard.h"

namespace quarot::linalg {
namespace {

std::vector<double> random_values(int64_t count, uint32_t seed = 1) {
    std::mt19937_64 generator(seed);
    std::vector<double> values(count);
    for (double& value : values) value = static_cast<double>(generator() >> 11) * 0x1p-52 - 1.0;
    return values;
}

// T[row][column] by the definition in mixer.h.
double entry(const Mixer& mixer, int64_t row, int64_t column) {
    if (mixer.kind == MixerKind::Identity) return row == column ? 1.0 : 0.0;
    const int64_t block = mixer.sylvester_order();
    const double d = mixer.dense[row / block * mixer.dense_order + column / block];
    const uint64_t both =
        static_cast<uint64_t>(row % block) & static_cast<uint64_t>(column % block);
    const double s = std::popcount(both) % 2 == 0 ? 1.0 : -1.0;
    return d * s / std::sqrt(static_cast<double>(mixer.n));
}

std::vector<double> dense_matrix(const Mixer& mixer) {
    std::vector<double> t(mixer.n * mixer.n);
    for (int64_t i = 0; i < mixer.n; ++i) {
        for (int64_t j = 0; j < mixer.n; ++j) t[i * mixer.n + j] = entry(mixer, i, j);
    }
    return t;
}

double largest_difference(const std::vector<double>& a, const std::vector<double>& b) {
    EXPECT_EQ(a.size(), b.size());
    double worst = 0.0;
    for (size_t i = 0; i < a.size(); ++i) worst = std::max(worst, std::abs(a[i] - b[i]));
    return worst;
}

double dot(const std::vector<double>& a, const std::vector<double>& b) {
    return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
}

TEST(Mixer, DecompositionOfTheWidthsOfKnownModels) {
    struct Row {
        int64_t n, dense_order, sylvester_order;
    };
    const std::vector<Row> rows = {
        {4096, 1, 4096},   {8192, 1, 8192},   {2048, 1, 2048},   {16384, 1, 16384},
        {11008, 172, 64},  {5120, 40, 128},   {13824, 108, 128}, {28672, 28, 1024},
        {14336, 28, 512},  {6656, 52, 128},   {17920, 140, 128}, {22016, 172, 128},
        {53248, 52, 1024}, {3072, 12, 256},   {896, 28, 32},     {1536, 12, 128},
        {3584, 28, 128},   {4864, 76, 64},    {8960, 140, 64},   {18944, 148, 128},
        {27648, 108, 256}, {29568, 924, 32},  {2560, 40, 64},    {9728, 76, 128},
        {12288, 12, 1024}, {17408, 68, 256},  {25600, 100, 256}, {5632, 44, 128},
        {576, 36, 16},     {96, 12, 8},       {24, 12, 2},       {40, 40, 1},
        {20, 20, 1},       {28, 28, 1},       {12, 12, 1},       {52, 52, 1},
        {32, 1, 32},       {64, 1, 64},       {2, 1, 2},         {9984, 156, 64},
        {1920, 60, 32},    {57344, 28, 2048},
    };
    for (const Row& row : rows) {
        for (const Mixer& mixer : {make_mixer(row.n), make_hadamard_or_identity(row.n)}) {
            EXPECT_EQ(mixer.kind, MixerKind::Hadamard) << row.n;
            EXPECT_EQ(mixer.n, row.n);
            EXPECT_EQ(mixer.dense_order, row.dense_order) << row.n;
            EXPECT_EQ(mixer.sylvester_order(), row.sylvester_order) << row.n;
            EXPECT_EQ(std::ssize(mixer.dense), row.dense_order * row.dense_order) << row.n;
        }
    }
}

TEST(Mixer, DenseFactorIsTheHadamardMatrixItself) {
    const Mixer mixer = make_mixer(11008);
    const auto h = hadamard_matrix(172);
    ASSERT_TRUE(h);
    EXPECT_EQ(mixer.dense, std::vector<double>(h->signs.begin(), h->signs.end()));
}

TEST(Mixer, WidthsWithoutHadamardMatrixFallBackToHartleyOrIdentity) {
    for (int64_t n : {3, 6, 7, 9, 14, 15, 18, 30, 13696}) {
        const Mixer mixer = make_mixer(n);
        EXPECT_EQ(mixer.kind, MixerKind::Hartley) << n;
        EXPECT_EQ(mixer.dense_order % 2, 1) << n;
        EXPECT_TRUE(std::has_single_bit(static_cast<uint64_t>(mixer.sylvester_order()))) << n;
        EXPECT_EQ(make_hadamard_or_identity(n).kind, MixerKind::Identity) << n;
    }
    EXPECT_EQ(make_mixer(13696).dense_order, 107);
}

TEST(Mixer, OddPartsBeyondTheDenseLimitAreLeftAsTheyAre) {
    for (int64_t n : {int64_t{2049}, int64_t{4099} * 64, (int64_t{1} << 61) - 1, INT64_MAX}) {
        const Mixer mixer = make_mixer(n);
        EXPECT_EQ(mixer.kind, MixerKind::Identity) << n;
        EXPECT_EQ(mixer.n, n);
        EXPECT_LE(mixer.dense.size(), 1u);
    }
    EXPECT_EQ(make_mixer(2047).kind, MixerKind::Hartley);
    EXPECT_EQ(make_mixer(int64_t{1} << 62).kind, MixerKind::Hadamard);
}

TEST(Mixer, DescribesItself) {
    EXPECT_EQ(make_mixer(11008).describe(), "Hadamard 172 x 2^6");
    EXPECT_EQ(make_mixer(40).describe(), "Hadamard 40 x 2^0");
    EXPECT_EQ(make_mixer(4096).describe(), "Hadamard 2^12");
    EXPECT_EQ(make_mixer(13696).describe(), "Hartley 107 x 2^7");
    EXPECT_EQ(make_hadamard_or_identity(9).describe(), "identity");
    EXPECT_EQ(make_mixer(1).describe(), "identity");
}

TEST(Mixer, TransposedIsTheOtherWayRound) {
    for (const int64_t n : {1, 12, 14, 24, 36, 64, 4099}) {
        const Mixer mixer = make_mixer(n);
        std::vector<double> through_mixer = random_values(n), through_flag = random_values(n);
        linalg::apply(transposed(mixer), through_mixer);
        linalg::apply(mixer, through_flag, true);
        EXPECT_EQ(through_mixer, through_flag) << n;
    }
    EXPECT_NE(transposed(make_mixer(12)).dense, make_mixer(12).dense) << "not symmetric";
}

TEST(Mixer, IsOrthogonalAndApplyIsItsDenseProduct) {
    for (int64_t n : {1, 2, 3, 7, 8, 9, 12, 14, 24, 36, 40, 64, 107, 152, 172, 344, 576, 768}) {
        const Mixer mixer = make_mixer(n);
        const std::vector<double> t = dense_matrix(mixer);
        std::vector<double> gram(n * n);
        multiply(false, true, n, n, n, t.data(), t.data(), gram.data());
        EXPECT_LE(largest_difference(gram, dense_matrix(identity_mixer(n))), 1e-12) << n;

        const std::vector<double> x = random_values(n);
        for (const bool transpose : {false, true}) {
            std::vector<double> expected(n);
            multiply(transpose, false, n, 1, n, t.data(), x.data(), expected.data());
            std::vector<double> y = x;
            linalg::apply(mixer, y, transpose);
            EXPECT_LE(largest_difference(y, expected), 1e-12) << n << " " << transpose;
        }
    }
}

TEST(Mixer, LargeWidthsAgreeWithTheDefinitionInSampledRows) {
    for (int64_t n : {896, 1536, 4864, 5120, 5632, 11008, 13696, 18944, 29568, 57344}) {
        const Mixer mixer = make_mixer(n);
        const std::vector<double> x = random_values(n);
        for (const bool transpose : {false, true}) {
            std::vector<double> y = x;
            linalg::apply(mixer, y, transpose);
            for (int64_t row : {int64_t{0}, int64_t{1}, n / 3, n / 2 + 1, n - 1}) {
                double expected = 0.0;
                for (int64_t i = 0; i < n; ++i) {
                    expected += x[i] * (transpose ? entry(mixer, i, row) : entry(mixer, row, i));
                }
                EXPECT_NEAR(y[row], expected, 1e-11) << n << " " << row << " " << transpose;
            }
        }
    }
}

TEST(Mixer, TransposeIsTheInverseAndAnglesAreKept) {
    for (int64_t n : {1, 2, 8, 12, 36, 152, 172, 896, 1536, 5632, 11008, 13696, 27648, 29568}) {
        const Mixer mixer = make_mixer(n);
        const std::vector<double> x = random_values(n, 1);
        const std::vector<double> z = random_values(n, 2);
        std::vector<double> tx = x;
        std::vector<double> tz = z;
        linalg::apply(mixer, tx);
        linalg::apply(mixer, tz);
        EXPECT_NEAR(dot(tx, tz), dot(x, z), 1e-12 * static_cast<double>(n)) << n;
        linalg::apply(mixer, tx, true);
        EXPECT_LE(largest_difference(tx, x), 1e-12) << n;
        linalg::apply(mixer, tz, true);
        linalg::apply(mixer, tz, true);
        linalg::apply(mixer, tz, false);
        EXPECT_LE(largest_difference(tz, z), 1e-12) << n;
    }
}

TEST(Mixer, TransposeDiffersWhereTheDenseFactorIsNotSymmetric) {
    for (int64_t n : {12, 24, 52, 5632, 11008}) {
        const Mixer mixer = make_mixer(n);
        std::vector<double> forward = random_values(n);
        std::vector<double> backward = forward;
        linalg::apply(mixer, forward, false);
        linalg::apply(mixer, backward, true);
        EXPECT_GT(largest_difference(forward, backward), 0.1) << n;
    }
}

TEST(Mixer, StridedEqualsApplyOnEveryGatheredVectorBitForBit) {
    for (int64_t n : {1, 2, 9, 12, 40, 64, 96, 576, 1376}) {
        for (int64_t inner : {1, 3, 16, 17, 64, 70}) {
            const Mixer mixer = make_mixer(n);
            const std::vector<double> x = random_values(n * inner);
            for (const bool transpose : {false, true}) {
                std::vector<double> y = x;
                apply_strided(mixer, y, inner, transpose);
                std::vector<double> expected(n * inner);
                for (int64_t c = 0; c < inner; ++c) {
                    std::vector<double> column(n);
                    for (int64_t i = 0; i < n; ++i) column[i] = x[i * inner + c];
                    linalg::apply(mixer, column, transpose);
                    for (int64_t i = 0; i < n; ++i) expected[i * inner + c] = column[i];
                }
                ASSERT_EQ(y, expected) << n << " " << inner << " " << transpose;
            }
        }
    }
}

TEST(Mixer, IdentityChangesNothing) {
    const std::vector<double> x = random_values(9 * 4);
    std::vector<double> y = x;
    apply_strided(make_hadamard_or_identity(9), y, 4);
    EXPECT_EQ(y, x);
}

// One large value among small ones is the reason for the rotation: it must spread evenly.
TEST(Mixer, SpreadsAnOutlierEvenlyWhereAHadamardMatrixExists) {
    for (int64_t n : {64, 576, 1536, 11008}) {
        std::vector<double> x(n, 0.0);
        x[n / 2] = 1.0;
        linalg::apply(make_mixer(n), x);
        for (double value : x) {
            ASSERT_NEAR(std::abs(value), 1.0 / std::sqrt(static_cast<double>(n)), 1e-15) << n;
        }
    }
}

}  // namespace
}  // namespace quarot::linalg
