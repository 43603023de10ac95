#include "apps/synonyms.h"

#include <gtest/gtest.h>

namespace quarot::apps {
namespace {

TEST(Synonyms, OtherProgramsFlagsAreUnderstoodWhereWeHaveThem) {
    const std::vector<std::string> known = {"--temp", "--max-tokens", "--top-k", "--threads"};
    EXPECT_EQ(meant_flag("--temperature", known), "--temp");
    EXPECT_EQ(meant_flag("--n-predict", known), "--max-tokens");
    EXPECT_EQ(meant_flag("--max_new_tokens", known), "--max-tokens");
    EXPECT_EQ(meant_flag("--top_k", known), "--top-k");
    EXPECT_EQ(meant_flag("--thread", known), "--threads") << "a near miss";
    EXPECT_EQ(meant_flag("--groupsize", known), "") << "this command has none";
}

TEST(Synonyms, OtherProgramsCommandsToo) {
    const std::vector<std::string> known = {"generate", "perplexity", "eval"};
    EXPECT_EQ(meant_command("genrate", known), "generate");
    EXPECT_EQ(meant_command("ppl", known), "perplexity");
    EXPECT_EQ(meant_command("eva", known), "eval");
    EXPECT_EQ(meant_command("dance", known), "");
}

}  // namespace
}  // namespace quarot::apps
