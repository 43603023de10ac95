#include "rotate/aligned.h"

#include <gtest/gtest.h>

#include <cmath>

#include "linalg/orthogonal.h"

namespace quarot::rotate {
namespace {

constexpr int64_t kWidth = 48;

// sum of strength_i v_i v_i^T, v_i the rows of an orthogonal matrix.
std::vector<double> moment_of(const std::vector<double>& v, const std::vector<double>& strengths) {
    std::vector<double> moment(static_cast<size_t>(kWidth * kWidth));
    for (size_t i = 0; i < strengths.size(); ++i) {
        for (int64_t at = 0; at < kWidth * kWidth; ++at) {
            moment[static_cast<size_t>(at)] +=
                strengths[i] * v[i * kWidth + at / kWidth] * v[i * kWidth + at % kWidth];
        }
    }
    return moment;
}

// x Q for row i of v.
std::vector<double> rotated(const std::vector<double>& v, size_t i, const std::vector<double>& q) {
    std::vector<double> y(kWidth);
    for (size_t r = 0; r < kWidth; ++r) {
        for (size_t c = 0; c < kWidth; ++c) y[c] += v[i * kWidth + r] * q[r * kWidth + c];
    }
    return y;
}

Alignment alignment(int64_t block, int64_t n_directions) {
    std::vector<double> strengths(kWidth, 0.5);
    for (size_t i = 0; i < 4; ++i) strengths[i] = 100.0 - 10.0 * static_cast<double>(i);
    return {moment_of(linalg::random_orthogonal(kWidth, 4), strengths), kWidth, block,
            n_directions};
}

// Of orders that are powers of two and others.
TEST(AlignedRotation, SpreadsEachDirectionEvenlyOverItsOwnBlock) {
    ThreadPool pool(2);
    const std::vector<double> v = linalg::random_orthogonal(kWidth, 4);
    for (const int64_t block : {8, 12, 16}) {
        SCOPED_TRACE(block);
        const std::vector<double> q = aligned_rotation(alignment(block, 3), pool);
        EXPECT_LE(linalg::orthogonality_error(q, kWidth, pool), 1e-13);
        for (int64_t i = 0; i < 3; ++i) {
            const std::vector<double> y = rotated(v, static_cast<size_t>(i), q);
            for (int64_t c = 0; c < kWidth; ++c) {
                const double level = c / block == i ? 1.0 / std::sqrt(block) : 0.0;
                EXPECT_NEAR(std::fabs(y[static_cast<size_t>(c)]), level, 1e-12) << i << ", " << c;
            }
        }
    }
}

TEST(AlignedRotation, IsTheSameBitsForAnyNumberOfThreads) {
    ThreadPool one(1), three(3);
    EXPECT_EQ(aligned_rotation(alignment(16, 3), one), aligned_rotation(alignment(16, 3), three));
}

}  // namespace
}  // namespace quarot::rotate
