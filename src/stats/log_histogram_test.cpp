// Are percentiles within the bins' width of the exact ones, whatever the order and range of
// numbers?
#include "stats/log_histogram.h"

#include <gtest/gtest.h>

#include <limits>
#include <random>
#include <vector>

namespace quarot::stats {
namespace {

// Both signs over nine orders of magnitude, zeros among them.
std::vector<float> wide_numbers(size_t n) {
    std::mt19937 random(5);
    std::vector<float> numbers;
    for (size_t i = 0; i < n; ++i) {
        const double exponent = static_cast<double>(random() % 9000) / 1000.0 - 6.0;
        const double sign = random() % 3 == 0 ? -1.0 : 1.0;
        numbers.push_back(random() % 50 == 0 ? 0.0f
                                             : static_cast<float>(sign * std::pow(10.0, exponent)));
    }
    return numbers;
}

LogHistogram<uint32_t> histogram_of(const std::vector<float>& numbers) {
    LogHistogram<uint32_t> histogram;
    for (const float x : numbers) histogram.add(x);
    return histogram;
}

double largest(const std::vector<float>& sorted) {
    return std::max(std::fabs(sorted.front()), std::fabs(sorted.back()));
}

TEST(LogHistogram, PercentilesAreWithinAnEighthOfTheExactOnes) {
    std::vector<float> numbers = wide_numbers(3001);
    const auto histogram = histogram_of(numbers);
    std::sort(numbers.begin(), numbers.end());
    for (int percent = 0; percent <= 100; ++percent) {
        const double share = percent / 100.0;
        const double exact = numbers[static_cast<size_t>(std::llround(share * 3000))];
        const double limit = std::max(std::fabs(exact) / 8, largest(numbers) / (1 << kOctaves));
        EXPECT_NEAR(histogram.quantile(share), exact, limit) << percent;
    }
}

TEST(LogHistogram, NarrowRangesAreResolvedBelowALargeNumber) {
    LogHistogram<uint32_t> histogram;
    for (int i = 1; i <= 1000; ++i) histogram.add(static_cast<float>(i) / 1000.0f);
    histogram.add(1000.0f);  // late and a thousand times as large
    EXPECT_NEAR(histogram.quantile(0.25), 0.25, 0.25 / 8);
    EXPECT_NEAR(histogram.quantile(0.75), 0.75, 0.75 / 8);
    EXPECT_NEAR(histogram.quantile(1.0), 1000.0, 1000.0 / 8);
}

TEST(LogHistogram, OrderDoesNotMatter) {
    std::vector<float> numbers = wide_numbers(500);
    const auto forwards = histogram_of(numbers);
    std::reverse(numbers.begin(), numbers.end());
    const auto backwards = histogram_of(numbers);
    for (int percent = 0; percent <= 100; ++percent) {
        EXPECT_EQ(forwards.quantile(percent / 100.0), backwards.quantile(percent / 100.0));
    }
}

TEST(LogHistogram, SmallSubnormalAndHugeNumbersCount) {
    const std::vector<float> numbers = {0.0f, 1e-42f, -1e-42f, 3e38f, -3e38f, -0.0f};
    EXPECT_EQ(histogram_of(numbers).total(), 6u);
    EXPECT_NEAR(histogram_of(numbers).quantile(0.0), -3e38, 3e38 / 8);
    EXPECT_EQ(histogram_of(numbers).quantile(0.5), 0.0);
    EXPECT_EQ(LogHistogram<uint32_t>().quantile(0.5), 0.0);
}

TEST(LogHistogram, MagnitudesOfSeveralAddUp) {
    LogHistogram<uint64_t, kAllOctaves> sum;
    LogHistogram<uint32_t> large, small;
    for (int i = 0; i < 10; ++i) large.add(-4.0f);
    for (int i = 0; i < 11; ++i) small.add(0.25f);
    for (const auto* part : {&large, &small}) sum.add_magnitudes(*part);
    EXPECT_EQ(sum.total(), 21u);
    EXPECT_NEAR(sum.quantile(0.0), 0.25, 0.25 / 8);
    EXPECT_NEAR(sum.quantile(0.5), 0.25, 0.25 / 8);
    EXPECT_NEAR(sum.quantile(1.0), 4.0, 4.0 / 8);
    LogHistogram<uint32_t> huge;
    huge.add(1e30f);
    sum.add_magnitudes(huge);
    EXPECT_NEAR(sum.quantile(0.4), 0.25, 0.25 / 8) << "far below the largest";
}

TEST(LogHistogram, TheLargestNumbersHaveAFiniteQuantile) {
    constexpr float kMost = std::numeric_limits<float>::max();
    for (const float sign : {1.0f, -1.0f}) {
        LogHistogram<uint32_t> histogram;
        histogram.add(sign * kMost, 3);
        for (const double share : {0.0, 0.5, 1.0}) {
            EXPECT_NEAR(histogram.quantile(share), double{sign * kMost}, double{kMost} / 8) << sign;
        }
    }
}

}  // namespace
}  // namespace quarot::stats
