#include <gtest/gtest.h>

#include <atomic>
#include <limits>
#include <vector>

#include "core/checked_math.h"
#include "core/error.h"
#include "core/thread_pool.h"

namespace quarot {

TEST(CheckedMath, SaysWhenAProductDoesNotFit) {
    const std::vector<int64_t> fits = {3, 4, 5};
    const std::vector<int64_t> wraps = {int64_t{1} << 40, int64_t{1} << 40};
    const std::vector<int64_t> negative = {3, -4};
    EXPECT_EQ(checked_product(fits), 60);
    EXPECT_EQ(checked_product({}), 1);
    EXPECT_FALSE(checked_product(wraps));
    EXPECT_FALSE(checked_product(negative));
    EXPECT_FALSE(checked_add(std::numeric_limits<int64_t>::max(), 1));
}

TEST(ThreadPool, RunsEveryTaskOnce) {
    for (const int n_threads : {1, 2, 5}) {
        ThreadPool pool(n_threads);
        for (int round = 0; round < 100; ++round) {
            std::vector<std::atomic<int>> counts(37);
            pool.parallel_for(37, [&](int64_t task, int thread) {
                EXPECT_LT(thread, pool.size());
                ++counts[static_cast<size_t>(task)];
            });
            for (const auto& count : counts) EXPECT_EQ(count, 1);
        }
    }
}

TEST(ThreadPool, RethrowsATasksException) {
    ThreadPool pool(3);
    const auto throwing = [](int64_t task, int) {
        if (task == 5) fail(ErrorCode::Numeric, "task {}", task);
    };
    EXPECT_THROW(pool.parallel_for(20, throwing), Error);
    int runs = 0;
    pool.parallel_for(1, [&](int64_t, int) { ++runs; });
    EXPECT_EQ(runs, 1) << "the pool works on after an exception";
}

}  // namespace quarot
