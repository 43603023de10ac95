#include "reproduce/seeds.h"

#include <gtest/gtest.h>

namespace quarot::reproduce {
namespace {

SeedResult result(uint32_t seed, std::optional<double> perplexity) {
    SeedResult result;
    result.seed = seed;
    result.text.perplexity = perplexity;
    result.text.window_nll = {perplexity.value_or(0.0), 1.0};
    if (perplexity) result.text.kl = *perplexity / 100.0;
    result.text.tokens_per_second = 2.0 * seed;
    result.text.quantize_seconds = 2.0;
    result.text.peak_rss_bytes = 100 + static_cast<int64_t>(seed);
    if (!perplexity) result.text.reason = "not a number";
    return result;
}

TEST(Together, IsOneSeedsResultAsItIs) {
    const std::vector<SeedResult> one = {result(3, 0.1)};
    EXPECT_EQ(to_json(together(one)).dump(), to_json(one.front().text).dump());
    EXPECT_FALSE(perplexity_deviation(one));
}

TEST(Together, IsTheMeanWithItsSpread) {
    const std::vector<SeedResult> seeds = {result(0, 10.0), result(1, 14.0), result(2, 12.0)};
    const Measurement mean = together(seeds);
    EXPECT_EQ(mean.perplexity, 12.0);
    EXPECT_EQ(mean.window_nll, (std::vector<double>{12.0, 1.0}));
    EXPECT_EQ(mean.quantize_seconds, 6.0) << "all that it took";
    EXPECT_DOUBLE_EQ(*mean.kl, 0.12);
    EXPECT_FALSE(mean.same_top1);
    EXPECT_EQ(mean.tokens_per_second, 2.0);
    EXPECT_EQ(mean.peak_rss_bytes, 102);
    EXPECT_DOUBLE_EQ(*perplexity_deviation(seeds), 2.0) << "over n - 1";
}

TEST(Together, HasNoNumberWhereASeedHasNoneAndSaysWhich) {
    const std::vector<SeedResult> seeds = {result(7, 10.0), result(8, std::nullopt)};
    EXPECT_FALSE(together(seeds).perplexity);
    EXPECT_FALSE(together(seeds).kl);
    EXPECT_EQ(together(seeds).reason, "seed 8: not a number");
    EXPECT_FALSE(perplexity_deviation(seeds));
}

TEST(Together, NamesTheFirstSeedThatHasNoNumber) {
    SeedResult a = result(7, std::nullopt), b = result(8, std::nullopt);
    a.tasks = {{.task = "piqa", .reason = "Inf"}};
    b.tasks = {{.task = "piqa", .reason = "NaN"}};
    b.text.reason = "another";
    EXPECT_EQ(together(std::vector{a, b}).reason, "seed 7: not a number");
    EXPECT_EQ(tasks_together(std::vector{a, b})[0].reason, "seed 7: Inf");
    b.tasks = {{.task = "piqa", .percent = 50.0}};
    EXPECT_EQ(tasks_together(std::vector{a, b})[0].reason, "seed 7: Inf") << "of two, named";
    EXPECT_EQ(tasks_together(std::vector{a})[0].reason, "Inf");
}

TEST(TasksTogether, AreMeansOfEachTask) {
    SeedResult a, b;
    a.tasks = {{.task = "piqa", .percent = 50.0, .percent_error = 1.0, .n = 4, .seconds = 1.0},
               {.task = "arc_easy", .percent = 20.0, .n = 4}};
    b.tasks = {{.task = "piqa", .percent = 60.0, .percent_error = 3.0, .n = 4, .seconds = 2.0},
               {.task = "arc_easy", .reason = "NaN", .n = 4}};
    b.seed = 9;
    const auto tasks = tasks_together(std::vector{a, b});
    ASSERT_EQ(tasks.size(), 2u);
    EXPECT_EQ(tasks[0].percent, 55.0);
    EXPECT_EQ(tasks[0].percent_error, 2.0);
    EXPECT_EQ(tasks[0].seconds, 3.0);
    EXPECT_EQ(tasks[0].n, 4);
    EXPECT_FALSE(tasks[1].percent);
    EXPECT_EQ(tasks[1].reason, "seed 9: NaN");
}

}  // namespace
}  // namespace quarot::reproduce
