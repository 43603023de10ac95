#include "bench/speed_test.h"

#include <gtest/gtest.h>

#include <cmath>

namespace quarot::bench {
namespace {

// Time passes in it alone: 100 s a preparation, 10 s a warm-up, and for runs as told.
class TimedWorkload : public Workload {
  public:
    explicit TimedWorkload(std::vector<double> seconds) : seconds_(std::move(seconds)) {}
    void prepare() override {
        now += 100.0;
        is_prepared_ = true;
    }
    void warm_up() override {
        EXPECT_TRUE(is_prepared_);
        EXPECT_EQ(n_runs_, 0u) << "too late";
        now += 10.0;
        ++n_warm_ups;
        is_prepared_ = false;
    }
    void run() override {
        EXPECT_TRUE(is_prepared_) << "a run goes on where the one before it ended";
        now += seconds_.at(n_runs_++);
        is_prepared_ = false;
    }

    double now = 5.0;
    int n_warm_ups = 0;

  private:
    std::vector<double> seconds_;
    size_t n_runs_ = 0;
    bool is_prepared_ = false;
};

TEST(TimeRuns, TimesPreparedRunsAloneAfterOneWarmUp) {
    TimedWorkload workload({2.0, 4.0, 1.0});
    const std::vector<double> seconds = time_runs(workload, 3, [&] { return workload.now; });
    EXPECT_EQ(seconds, (std::vector<double>{2.0, 4.0, 1.0}));
    EXPECT_EQ(workload.n_warm_ups, 1);
}

TEST(SpeedOf, IsTheMeanOfTheRunsSpeedsWithTheSamplesDeviation) {
    const Speed speed = speed_of(std::vector<double>{2.0, 4.0, 1.0}, 8);  // 4, 2 and 8 a second
    EXPECT_DOUBLE_EQ(speed.mean, 14.0 / 3.0);
    EXPECT_DOUBLE_EQ(speed.stddev, std::sqrt(28.0 / 3.0));
}

TEST(SpeedOf, OneRunHasNoDeviation) {
    const Speed speed = speed_of(std::vector<double>{0.5}, 8);
    EXPECT_EQ(speed.mean, 16.0);
    EXPECT_EQ(speed.stddev, 0.0);
}

TEST(SpeedTests, AreEveryCombinationInTheOrderOfTheLists) {
    std::vector<std::string> names;
    for (const SpeedTest& test :
         speed_tests(std::vector<int64_t>{512, 64}, std::vector<int64_t>{8},
                     std::vector<int64_t>{0, 100}, std::vector<int64_t>{1, 4})) {
        names.push_back(test.name() + " d" + std::to_string(test.depth) + " b" +
                        std::to_string(test.batch) + " " + std::to_string(test.positions()));
    }
    EXPECT_EQ(names,
              (std::vector<std::string>{
                  "pp512 d0 b1 512", "pp64 d0 b1 64", "tg8 d0 b1 8", "pp512 d0 b4 512",
                  "pp64 d0 b4 64", "tg8 d0 b4 8", "pp512 d100 b1 612", "pp64 d100 b1 164",
                  "tg8 d100 b1 108", "pp512 d100 b4 612", "pp64 d100 b4 164", "tg8 d100 b4 108"}));
}

TEST(SpeedTests, NoTokensAreNoTest) {
    const std::vector<int64_t> none = {0}, one = {1};
    EXPECT_TRUE(speed_tests(none, none, none, one).empty());
    EXPECT_EQ(speed_tests(none, one, none, one).size(), 1u);
    EXPECT_EQ(speed_tests(one, none, none, one).size(), 1u);
}

TEST(CacheSizes, AreThoseOfTheLargestTestsInWholePages) {
    const std::vector<SpeedTest> tests = {
        {Phase::Prompt, 200, 0, 1}, {Phase::Decode, 1, 64, 3}, {Phase::Decode, 1, 63, 5}};
    EXPECT_EQ(cache_size(tests).n_positions, 200);
    EXPECT_EQ(cache_size(tests).n_tokens, 3 * 128);
    EXPECT_EQ(cache_size(tests).n_sequences, 5);
}

}  // namespace
}  // namespace quarot::bench
