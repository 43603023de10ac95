#include "linalg/orthogonal.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>
#include <span>
#include <string>

#include "linalg/blas.h"

namespace quarot::linalg {
namespace {

std::string as_characters(const std::vector<double>& signs) {
    std::string text;
    for (double sign : signs) text += sign == 1.0 ? '+' : sign == -1.0 ? '-' : '?';
    return text;
}

uint64_t fnv1a_64(const std::string& text) {
    uint64_t hash = 0xcbf29ce484222325u;
    for (char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
    return hash;
}

TEST(RandomSigns, SeedZeroGivesThePublishedVector) {
    const auto signs = random_signs(4096, 0);
    const std::string text = as_characters(signs);
    EXPECT_EQ(text.substr(0, 64),
              "-++-+++++++--+-----+-++--++++-+-+-++-++--+-+++++-+-++++-+--++-+-");
    EXPECT_EQ(std::accumulate(signs.begin(), signs.end(), 0.0), 82.0);
    EXPECT_EQ(fnv1a_64(text), 0xe5cb8040b82b6a7fu);
}

TEST(RandomSigns, ShorterVectorIsAPrefixAndSeedsDiffer) {
    const auto longer = random_signs(100, 7);
    EXPECT_EQ(random_signs(60, 7), std::vector<double>(longer.begin(), longer.begin() + 60));
    EXPECT_NE(random_signs(100, 8), longer);
    EXPECT_TRUE(random_signs(0, 7).empty());
}

TEST(RandomOrthogonal, IsOrthogonal) {
    for (int64_t n : {1, 2, 7, 64, 300}) {
        const auto q = random_orthogonal(n, 3);
        std::vector<double> gram(n * n);
        multiply(true, false, n, n, n, q.data(), q.data(), gram.data());
        double worst = 0.0;
        for (int64_t i = 0; i < n; ++i) {
            for (int64_t j = 0; j < n; ++j) {
                worst = std::max(worst, std::abs(gram[i * n + j] - (i == j ? 1.0 : 0.0)));
            }
        }
        EXPECT_LE(worst, 1e-12) << n;
    }
}

TEST(RandomOrthogonal, SameSeedSameBitsOtherSeedOtherMatrix) {
    EXPECT_EQ(random_orthogonal(150, 5), random_orthogonal(150, 5));
    EXPECT_NE(random_orthogonal(150, 5), random_orthogonal(150, 6));
}

// Without the sign correction the diagonal of R has one sign and Q[0][0] leans to one side.
TEST(RandomOrthogonal, FirstEntryIsPositiveAboutHalfOfTheTime) {
    int positive = 0;
    for (uint32_t seed = 0; seed < 400; ++seed) positive += random_orthogonal(3, seed)[0] > 0.0;
    EXPECT_GT(positive, 150);
    EXPECT_LT(positive, 250);
}

// Q^T Z is upper triangular with a positive diagonal for the Z that was factored; for n = 1 the
// only possible values are +1 and -1, and the sign is that of the draw.
TEST(RandomOrthogonal, OrderOneKeepsTheSignOfTheDraw) {
    int negative = 0;
    for (uint32_t seed = 0; seed < 32; ++seed) {
        const auto q = random_orthogonal(1, seed);
        EXPECT_EQ(std::abs(q[0]), 1.0);
        negative += q[0] < 0.0;
    }
    EXPECT_GT(negative, 0);
    EXPECT_LT(negative, 32);
}

TEST(OrthogonalityError, IsThatOfTheWorstEntry) {
    constexpr int64_t kOrder = 130;  // two whole tiles and a rest
    ThreadPool one(1), two(2);
    std::vector<double> q = random_orthogonal(kOrder, 3);
    EXPECT_LT(orthogonality_error(q, kOrder, two), 1e-13);
    for (double& value : std::span(q).last(kOrder)) value *= 1.5;
    EXPECT_NEAR(orthogonality_error(q, kOrder, two), 1.25, 1e-12) << "in the last row";
    EXPECT_EQ(orthogonality_error(q, kOrder, one), orthogonality_error(q, kOrder, two));
    q[5] = 1e200;
    EXPECT_EQ(orthogonality_error(q, kOrder, two), std::numeric_limits<double>::infinity());
}

TEST(CloserToOrthogonal, SquaresTheError) {
    constexpr int64_t kOrder = 130;
    ThreadPool one(1), two(2);
    std::vector<double> q = random_orthogonal(kOrder, 3);
    for (size_t i = 0; i < q.size(); ++i) q[i] += 1e-5 * std::sin(static_cast<double>(i * i));
    const double before = orthogonality_error(q, kOrder, two);
    EXPECT_GT(before, 1e-5);
    const std::vector<double> closer = closer_to_orthogonal(q, kOrder, two);
    EXPECT_LT(orthogonality_error(closer, kOrder, two), 1e-7);
    EXPECT_EQ(closer_to_orthogonal(q, kOrder, one), closer) << "for any number of threads";
}

}  // namespace
}  // namespace quarot::linalg
