// Every target takes its own seeds and many damaged copies of them, with any compiler.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <new>
#include <random>

#include "fuzz/target.h"

namespace {

std::atomic<size_t> largest_allocation = 0;

}  // namespace

// Those of the program, which here remember the largest request. Were they inlined, GCC would take
// malloc and free for a pair that does not match.
[[gnu::noinline]] void* operator new(size_t bytes) {
    if (bytes > largest_allocation) largest_allocation = bytes;
    if (void* memory = std::malloc(std::max<size_t>(bytes, 1))) return memory;
    throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept {
    std::free(memory);
}
[[gnu::noinline]] void operator delete(void* memory, size_t) noexcept {
    std::free(memory);
}

namespace quarot::fuzz {
namespace {

constexpr int kDamagedCopies = 40;                        // of each seed
constexpr size_t kTooLargeAllocation = size_t{64} << 20;  // as tools/fuzz.sh tells the fuzzer

size_t below(std::mt19937& random, size_t n) {
    return n == 0 ? 0 : random() % n;
}

// One to four small damages: a byte changed, a stretch cut out or doubled, a word put in.
std::string damaged(std::string input, const std::vector<std::string>& words,
                    std::mt19937& random) {
    for (size_t n = 1 + below(random, 4); n > 0; --n) {
        const size_t at = below(random, input.size());
        const size_t length = below(random, std::min<size_t>(input.size() - at + 1, 16));
        const size_t kind = below(random, 5);
        if (kind == 0 && !input.empty()) input[at] = static_cast<char>(random());
        if (kind == 1) input.erase(at, length);
        if (kind == 2) input.insert(at, input.substr(at, length));
        if (kind == 3 && !words.empty()) input.insert(at, words[below(random, words.size())]);
        if (kind == 4) input.resize(at);
    }
    return input;
}

std::string shown(const std::string& input) {
    return testing::PrintToString(input);
}

void expect_taken(const Target& target, const std::string& input) {
    largest_allocation = 0;
    EXPECT_NO_THROW(run_guarded(target, input)) << shown(input);
    EXPECT_LT(largest_allocation, kTooLargeAllocation) << shown(input);
}

class FuzzTargetTest : public testing::TestWithParam<const Target*> {};

TEST_P(FuzzTargetTest, TakesItsSeedsAndDamagedCopiesOfThem) {
    const Target& target = *GetParam();
    const std::vector<std::string> words = target.words();
    std::mt19937 random(1);
    for (const std::string& seed : target.seeds()) {
        EXPECT_LE(seed.size(), target.max_bytes) << shown(seed);
        expect_taken(target, seed);
        for (int i = 0; i < kDamagedCopies; ++i) expect_taken(target, damaged(seed, words, random));
    }
}

std::string name_of(const testing::TestParamInfo<const Target*>& info) {
    return info.param->name;
}

INSTANTIATE_TEST_SUITE_P(All, FuzzTargetTest, testing::ValuesIn(targets().begin(), targets().end()),
                         name_of);

}  // namespace
}  // namespace quarot::fuzz
