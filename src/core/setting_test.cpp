// Settings in messages, and a border's words in their place.
#include "core/setting.h"

#include <gtest/gtest.h>

#include "core/error.h"

namespace quarot {

namespace {

std::string in_capitals(std::string_view message) {
    return respelled(message, [](std::string_view name) -> std::string {
        return name == "resume" ? "RESUME" : name == "k.bits" ? "K_BITS" : "";
    });
}

}  // namespace

TEST(Setting, IsNamedInBackquotes) {
    EXPECT_EQ(fmt::format("give {} to go on", Setting{"resume"}), "give `resume` to go on");
}

TEST(Setting, TheFirstInAMessageIsTheErrorsOwn) {
    constexpr Setting kBits{"k.bits"};
    const Error error = make_error(ErrorCode::Usage, "{} is {}: {} goes on with {}", kBits, 9, "x",
                                   Setting{"resume"});
    EXPECT_EQ(error.setting(), "k.bits");
    EXPECT_STREQ(error.what(), "`k.bits` is 9: x goes on with `resume`");
    EXPECT_EQ(make_error(ErrorCode::Usage, "{} is missing", "file").setting(), "");
}

TEST(Respelled, PutsTheBordersWordForEverySetting) {
    EXPECT_EQ(in_capitals("`k.bits` is 9"), "K_BITS is 9");
    EXPECT_EQ(in_capitals("choose `k.bits` 4 and `resume`"), "choose K_BITS 4 and RESUME");
    EXPECT_EQ(in_capitals("`resume``k.bits`"), "RESUMEK_BITS");
}

TEST(Respelled, LeavesOtherTextAsItIs) {
    EXPECT_EQ(in_capitals("k.bits and resume"), "k.bits and resume");
    EXPECT_EQ(in_capitals("a`b is no `model`"), "a`b is no `model`");
    EXPECT_EQ(in_capitals("a`b; give `resume`"), "a`b; give RESUME");
    EXPECT_EQ(in_capitals("`resume"), "`resume");
    EXPECT_EQ(in_capitals(""), "");
}

}  // namespace quarot
