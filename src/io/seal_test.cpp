// A sealed text shows every change to it.
#include "io/seal.h"

#include <gtest/gtest.h>

#include "io/json.h"

namespace quarot::io {

namespace {

Json sample() {
    return Json::Object{{"name", "w"}, {"bytes", 16}, {"list", Json::Array{1, 2}}};
}

}  // namespace

TEST(Seal, IsTheLastMemberOfTheObject) {
    for (const int indent : {-1, 2}) {
        const Json json = Json::parse(sealed(sample().dump(indent)), "text");
        EXPECT_EQ(json.as_object().back().first, "digest");
        EXPECT_EQ(json.at("bytes").as_int(), 16);
    }
}

TEST(Seal, ShowsTheChangeOfAnyBit) {
    for (const int indent : {-1, 2}) {
        const std::string text = sealed(sample().dump(indent));
        ASSERT_TRUE(is_sealed(text));
        for (size_t at = 0; at < text.size(); ++at) {
            for (int bit = 0; bit < 8; ++bit) {
                std::string changed = text;
                changed[at] = static_cast<char>(changed[at] ^ (1 << bit));
                EXPECT_FALSE(is_sealed(changed)) << changed;
            }
        }
    }
}

TEST(Seal, ShowsMissingAndAddedBytes) {
    const std::string text = sealed(sample().dump());
    for (size_t n = 0; n < text.size(); ++n) EXPECT_FALSE(is_sealed(text.substr(0, n))) << n;
    EXPECT_FALSE(is_sealed(text + " "));
    EXPECT_FALSE(is_sealed(" " + text));
    EXPECT_FALSE(is_sealed(sample().dump()));
}

}  // namespace quarot::io
