#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
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

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define QUAROT_TEST_SANITIZED
#endif
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define QUAROT_TEST_SANITIZED
#endif

TEST(ThreadPool, ThreadsTheSystemDoesNotGiveAreAnErrorAndTheOthersEnd) {
#ifdef QUAROT_TEST_SANITIZED
    GTEST_SKIP() << "sanitizers need the address space that this test takes away";
#else
    rlim_t pages = 0;
    std::ifstream("/proc/self/statm") >> pages;
    rlimit old_limit{};
    ASSERT_EQ(getrlimit(RLIMIT_AS, &old_limit), 0);
    const rlim_t bytes = pages * static_cast<rlim_t>(sysconf(_SC_PAGESIZE)) + (rlim_t{64} << 20);
    const rlimit limit{.rlim_cur = bytes, .rlim_max = old_limit.rlim_max};
    ASSERT_EQ(setrlimit(RLIMIT_AS, &limit), 0);
    ErrorCode code = ErrorCode::Internal;
    try {
        const ThreadPool pool(1000);
    } catch (const Error& error) {
        code = error.code();
    }
    setrlimit(RLIMIT_AS, &old_limit);
    EXPECT_EQ(code, ErrorCode::OutOfMemory);
#endif
}

}  // namespace quarot
