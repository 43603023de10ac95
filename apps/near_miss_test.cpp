#include "apps/near_miss.h"

#include <gtest/gtest.h>

namespace quarot::apps {
namespace {

const std::vector<std::string> kCommands = {"quantize", "perplexity", "generate", "logits"};

TEST(NearMiss, FindsAWordWithOneLetterWrongMissingOrTooMany) {
    EXPECT_EQ(near_miss("quantise", kCommands), "quantize");
    EXPECT_EQ(near_miss("perplexty", kCommands), "perplexity");
    EXPECT_EQ(near_miss("logitss", kCommands), "logits");
}

TEST(NearMiss, TakesTheNearestOfSeveral) {
    EXPECT_EQ(near_miss("--a-bit", {"--a-clip", "--a-bits"}), "--a-bits");
}

TEST(NearMiss, OffersNothingForAnUnrelatedWord) {
    EXPECT_EQ(near_miss("serve", kCommands), "");
    EXPECT_EQ(near_miss("", kCommands), "");
    EXPECT_EQ(near_miss("-x", {"-p", "-m"}), "");
}

}  // namespace
}  // namespace quarot::apps
