#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <future>
#include <limits>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "core/check.h"
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

TEST(Check, AFailedOneIsAnErrorThatNamesItsPlace) {
    const int two = 2;
    const int line = __LINE__ + 2;
    try {
        QUAROT_CHECK(two == 3, "two is {}", two);
        ADD_FAILURE() << "nothing was thrown";
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::Internal);
        EXPECT_EQ(error.what(), "internal error at src/core/core_test.cpp:" + std::to_string(line) +
                                    ": two == 3 does not hold: two is 2; please report it");
    }
}

TEST(Check, AFailedOneOfATaskReachesTheCaller) {
    ThreadPool pool(3);
    EXPECT_THROW(pool.parallel_for(9, [](int64_t task, int) { QUAROT_CHECK(task < 5); }), Error);
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

// The worker wakes for a job that is over and is held between its two looks at the pool, which is
// told to end meanwhile.
TEST(ThreadPool, EndsWhileAWorkerWakesLate) {
    using namespace std::chrono_literals;
    for (int round = 0; round < 5; ++round) {
        auto pool = std::make_unique<ThreadPool>(2, [] { std::this_thread::sleep_for(50ms); });
        pool->parallel_for(2, [](int64_t, int) {});
        std::promise<void> ended;
        std::thread destroyer([&] {
            pool.reset();
            ended.set_value();
        });
        if (ended.get_future().wait_for(20s) != std::future_status::ready) {
            std::fputs("the pool does not end\n", stderr);
            std::_Exit(1);  // nothing else ends a thread that waits for ever
        }
        destroyer.join();
    }
}

TEST(ThreadPool, SleepersAreWokenForTheNextJob) {
    using namespace std::chrono_literals;
    ThreadPool pool(2);
    for (int round = 0; round < 3; ++round) {
        std::this_thread::sleep_for(200ms);  // far beyond what a worker spins
        std::atomic<int> n_begun = 0;
        std::atomic<bool> both = true;
        pool.parallel_for(2, [&](int64_t, int) {
            ++n_begun;
            const auto end = std::chrono::steady_clock::now() + 20s;
            while (n_begun < 2 && std::chrono::steady_clock::now() < end) std::this_thread::yield();
            if (n_begun < 2) both = false;
        });
        EXPECT_TRUE(both) << "one thread did both tasks";
    }
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
