// What a long context costs in memory: its cache and RoPE's tables, and nothing that grows with it
// besides.
#include <gtest/gtest.h>

#include "e2e/expectations.h"
#include "e2e/program.h"

namespace quarot::test {
namespace {

struct Memory {
    int64_t weights, kv_cache, peak;
};

Memory with_context(int64_t n_tokens) {
    const Outcome outcome = run_program({"bench", "--shape", "tinyllama-1.1b", "--layers", "2",
                                         "--recipe", "w4a8kv4", "-d", std::to_string(n_tokens - 1),
                                         "-p", "0", "-n", "1", "-r", "1", "-t", "2", "--json"});
    expect_success(outcome);
    const io::Json json = outcome.json();
    const io::Json& memory = json.at("memory");
    return {memory.at("weights_bytes").as_int(), memory.at("kv_cache_bytes").as_int(),
            memory.at("peak_rss_bytes").as_int()};
}

// Two layers, keys and values, 4 heads of 64 in 4 bits with a scale (F32) and a zero point (I16).
constexpr int64_t kCacheBytesPerToken = 2 * 2 * 4 * (64 / 2 + 4 + 2);
constexpr int64_t kTableBytesPerToken = 2 * 32 * 4;  // cosines and sines of RoPE
constexpr int64_t kShort = 1024, kLong = 16384;

TEST(LongContext, TakesItsCacheAndNoMore) {
    const Memory before = with_context(kShort), after = with_context(kLong);
    EXPECT_EQ(before.kv_cache, kShort * kCacheBytesPerToken);
    EXPECT_EQ(after.kv_cache, kLong * kCacheBytesPerToken);
    const int64_t predicted = after.weights + after.kv_cache;
    std::printf("%.1f MB at %lld tokens, %.1f at %lld, %.1f of these predicted\n",
                static_cast<double>(before.peak) / 1e6, static_cast<long long>(kShort),
                static_cast<double>(after.peak) / 1e6, static_cast<long long>(kLong),
                static_cast<double>(predicted) / 1e6);
    EXPECT_LE(after.peak, predicted + predicted / 20 + 60'000'000);
    // A matrix of scores, 512 x 16384 floats, would be 34 MB.
    const int64_t more = (kLong - kShort) * (kCacheBytesPerToken + kTableBytesPerToken);
    EXPECT_LE(after.peak - before.peak, more + 8'000'000);
    EXPECT_GE(after.peak - before.peak, more / 2) << "the cache is written";
}

}  // namespace
}  // namespace quarot::test
