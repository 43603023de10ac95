// Are sums over pieces of rows those of all rows, and are they what their names say?
#include "stats/statistics.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

namespace quarot::stats {
namespace {

constexpr int64_t kChannels = 37, kRows = 200;

std::vector<float> rows_with_an_outlier() {
    std::mt19937 random(3);
    std::vector<float> values;
    for (int64_t i = 0; i < kRows * kChannels; ++i) {
        const double uniform = static_cast<double>(random()) / 4294967296.0;
        values.push_back(static_cast<float>((uniform - 0.3) * (i % kChannels == 5 ? 40 : 1)));
    }
    std::fill_n(values.begin() + 7 * kChannels, kChannels, 0.0f);
    return values;
}

// error: of each row; 0: nothing is quantized.
Summary summary_of(const std::vector<float>& values, double error, int64_t piece, int n_threads) {
    ThreadPool pool(n_threads);
    Statistics statistics(kChannels);
    for (int64_t row = 0; row < kRows; row += piece) {
        const auto first = static_cast<size_t>(row * kChannels);
        const auto count = static_cast<size_t>(std::min(piece, kRows - row) * kChannels);
        const std::vector<double> errors(error == 0.0 ? 0 : count / kChannels, error);
        statistics.add(std::span(values).subspan(first, count), errors, pool);
    }
    return statistics.summary();
}

TEST(Statistics, MomentsAndRatiosAreThoseOfTheValues) {
    const std::vector<float> values = rows_with_an_outlier();
    const Summary summary = summary_of(values, 0.0, 64, 2);
    double mean = 0.0, m2 = 0.0, m4 = 0.0, squares = 0.0;
    for (const float x : values) mean += x / static_cast<double>(values.size());
    for (const float x : values) {
        squares += double{x} * x;
        m2 += std::pow(x - mean, 2) / static_cast<double>(values.size());
        m4 += std::pow(x - mean, 4) / static_cast<double>(values.size());
    }
    ASSERT_TRUE(summary.kurtosis.has_value());
    EXPECT_NEAR(*summary.kurtosis, m4 / (m2 * m2), 1e-9 * m4 / (m2 * m2));
    EXPECT_NEAR(summary.rms, std::sqrt(squares / static_cast<double>(values.size())), 1e-9);
    double sum = 0.0, largest = 0.0, max_abs = 0.0;
    for (int64_t row = 0; row < kRows; ++row) {
        double row_squares = 0.0, row_max = 0.0;
        for (int64_t c = 0; c < kChannels; ++c) {
            const double x = values[static_cast<size_t>(row * kChannels + c)];
            row_squares += x * x;
            row_max = std::max(row_max, std::fabs(x));
        }
        if (row_max == 0.0) continue;
        const double ratio = row_max / std::sqrt(row_squares / kChannels);
        sum += ratio;
        largest = std::max(largest, ratio);
        max_abs = std::max(max_abs, row_max);
    }
    EXPECT_NEAR(summary.peak_ratio.mean, sum / (kRows - 1), 1e-9) << "the row of zeros has none";
    EXPECT_NEAR(summary.peak_ratio.max, largest, 1e-9);
    EXPECT_EQ(summary.max_abs, max_abs);
    std::vector<float> magnitudes = values;
    for (float& x : magnitudes) x = std::fabs(x);
    std::sort(magnitudes.begin(), magnitudes.end());
    const double median = magnitudes[magnitudes.size() / 2];
    EXPECT_NEAR(summary.median_abs, median, median / 8);
    EXPECT_NEAR(*summary.max_to_median(), max_abs / median, max_abs / median / 4);
}

TEST(Statistics, KurtosisIsThatOfTheNoiseWhereTheMeanIsFarFromZero) {
    for (const double noise : {0.01, 1.0}) {
        std::vector<float> values = rows_with_an_outlier();
        for (size_t i = 0; i < values.size(); ++i) {
            const double mean = i < values.size() / 2 ? 1000.0 : 1000.0 + noise;
            values[i] = static_cast<float>(mean + noise / 40 * double{values[i]});
        }
        const auto kurtosis_of = [&](size_t first, size_t n) {
            double mean = 0.0, m2 = 0.0, m4 = 0.0;
            const auto count = static_cast<double>(n);
            for (size_t i = first; i < first + n; ++i) mean += (double{values[i]} - 1000.0) / count;
            for (size_t i = first; i < first + n; ++i) {
                const double distance = double{values[i]} - 1000.0 - mean;
                m2 += distance * distance / count;
                m4 += std::pow(distance, 4) / count;
            }
            return m2 == 0.0 ? 0.0 : m4 / (m2 * m2);
        };
        const Summary summary = summary_of(values, 0.0, 64, 2);
        const double all = kurtosis_of(0, values.size());
        ASSERT_TRUE(summary.kurtosis.has_value()) << noise;
        EXPECT_NEAR(*summary.kurtosis, all, 1e-6 * all) << noise;
        double of_rows = 0.0;
        for (size_t row = 0; row < kRows; ++row) {
            of_rows += kurtosis_of(row * kChannels, kChannels) / (kRows - 1);  // one is constant
        }
        EXPECT_NEAR(*summary.row_kurtosis, of_rows, 1e-6 * of_rows) << noise;
    }
}

TEST(Statistics, BandsAreThoseOfEachChannel) {
    const std::vector<float> values = rows_with_an_outlier();
    const Bands bands = summary_of(values, 0.0, 200, 2).bands;
    for (int64_t c = 0; c < kChannels; ++c) {
        std::vector<float> channel;
        for (int64_t row = 0; row < kRows; ++row) {
            channel.push_back(values[static_cast<size_t>(row * kChannels + c)]);
        }
        std::sort(channel.begin(), channel.end());
        const auto index = static_cast<size_t>(c);
        EXPECT_EQ(bands.min[index], channel.front());
        EXPECT_EQ(bands.max[index], channel.back());
        const auto near = [&](float found, size_t rank) {
            EXPECT_NEAR(found, channel[rank], std::fabs(channel[rank]) / 8 + 1e-3) << c;
        };
        near(bands.p1[index], 2);
        near(bands.p25[index], 50);
        near(bands.p75[index], 149);
        near(bands.p99[index], 197);
    }
}

TEST(Statistics, SqnrIsOverAllPieces) {
    const std::vector<float> values = rows_with_an_outlier();
    double squares = 0.0;
    for (const float x : values) squares += double{x} * x;
    const Summary summary = summary_of(values, 0.5, 50, 1);
    ASSERT_TRUE(summary.sqnr_db.has_value());
    EXPECT_NEAR(*summary.sqnr_db, 10 * std::log10(squares / (0.5 * kRows)), 1e-9);
    EXPECT_FALSE(summary_of(values, 0.0, 50, 1).sqnr_db.has_value());
}

TEST(Statistics, RowsCountAlikeInTheirMeans) {
    std::vector<float> values = rows_with_an_outlier();
    const Summary before = summary_of(values, 0.5, 64, 1);
    double kurtosis = 0.0, decibels = 0.0;
    for (int64_t row = 0; row < kRows; ++row) {
        if (row == 7) continue;  // zeros
        const auto* x = values.data() + row * kChannels;
        double mean = 0.0, m2 = 0.0, m4 = 0.0, squares = 0.0;
        for (int64_t c = 0; c < kChannels; ++c) mean += double{x[c]} / kChannels;
        for (int64_t c = 0; c < kChannels; ++c) {
            squares += double{x[c]} * x[c];
            m2 += std::pow(x[c] - mean, 2) / kChannels;
            m4 += std::pow(x[c] - mean, 4) / kChannels;
        }
        kurtosis += m4 / (m2 * m2) / (kRows - 1);
        decibels += 10 * std::log10(squares / 0.5) / (kRows - 1);
    }
    EXPECT_NEAR(*before.row_kurtosis, kurtosis, 1e-9 * kurtosis);
    EXPECT_NEAR(*before.row_sqnr_db, decibels, 1e-9);
    for (int64_t c = 0; c < kChannels; ++c) values[static_cast<size_t>(c)] *= 1000.0f;
    const Summary after = summary_of(values, 0.5, 64, 1);
    EXPECT_NEAR(*after.row_kurtosis, *before.row_kurtosis, 1e-4);
    EXPECT_GT(*after.kurtosis, 10 * *before.kurtosis);
}

TEST(Statistics, ThreadsAndConstantsChangeNothing) {
    const std::vector<float> values = rows_with_an_outlier();
    const Summary one = summary_of(values, 0.1, 64, 1), four = summary_of(values, 0.1, 64, 4);
    EXPECT_EQ(*one.kurtosis, *four.kurtosis);
    EXPECT_EQ(one.peak_ratio.mean, four.peak_ratio.mean);
    EXPECT_EQ(one.bands.p99, four.bands.p99);
    const std::vector<float> constant(static_cast<size_t>(kRows * kChannels), 0.7f);
    EXPECT_FALSE(summary_of(constant, 0.0, 64, 1).kurtosis.has_value());
    const std::vector<float> zeros(constant.size(), 0.0f);
    EXPECT_FALSE(summary_of(zeros, 0.0, 64, 1).max_to_median().has_value());
}

}  // namespace
}  // namespace quarot::stats
