// Every target takes its own seeds and many damaged copies of them, with any compiler.
#include <gtest/gtest.h>

#include <random>

#include "fuzz/target.h"

namespace quarot::fuzz {
namespace {

constexpr int kDamagedCopies = 40;  // of each seed

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

class FuzzTargetTest : public testing::TestWithParam<const Target*> {};

TEST_P(FuzzTargetTest, TakesItsSeedsAndDamagedCopiesOfThem) {
    const Target& target = *GetParam();
    const std::vector<std::string> words = target.words();
    std::mt19937 random(1);
    for (const std::string& seed : target.seeds()) {
        EXPECT_LE(seed.size(), target.max_bytes) << shown(seed);
        EXPECT_NO_THROW(run_guarded(target, seed)) << shown(seed);
        for (int i = 0; i < kDamagedCopies; ++i) {
            const std::string input = damaged(seed, words, random);
            EXPECT_NO_THROW(run_guarded(target, input)) << shown(input);
        }
    }
}

std::string name_of(const testing::TestParamInfo<const Target*>& info) {
    return info.param->name;
}

INSTANTIATE_TEST_SUITE_P(All, FuzzTargetTest, testing::ValuesIn(targets().begin(), targets().end()),
                         name_of);

}  // namespace
}  // namespace quarot::fuzz
