#include "io/json.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <random>

#include "core/expect_error.h"
#include "io/text.h"
#include "io/utf8.h"
#include "support/temp_dir.h"

namespace quarot::io {

namespace {

Json parse(const std::string& text) {
    return Json::parse(text, "config.json");
}

void expect_corrupt(const std::string& text, const std::vector<std::string>& mentions = {}) {
    SCOPED_TRACE(printable(text));
    std::vector<std::string> all = mentions;
    all.push_back("config.json");
    expect_error(ErrorCode::Corrupt, all, [&] { parse(text); });
}

std::string repeated(const std::string& text, int n) {
    std::string result;
    for (int i = 0; i < n; ++i) result += text;
    return result;
}

}  // namespace

TEST(Json, ReadsEveryKindOfValue) {
    const Json json = parse(
        " {\"n\": null, \"t\": true, \"i\": -7, \"f\": 2.5e-3, \"s\": \"\\u00e9\\n\\ud83d\\ude00\","
        " \"a\": [1, [], {}], \"o\": {\"x\": 0}}\r\n\t");
    EXPECT_TRUE(json.at("n").is_null());
    EXPECT_TRUE(json.at("t").as_bool());
    EXPECT_EQ(json.at("i").as_int(), -7);
    EXPECT_EQ(json.at("f").as_double(), 2.5e-3);
    EXPECT_EQ(json.at("s").as_string(), "\u00e9\n\U0001F600");
    EXPECT_EQ(json.at("a").as_array().size(), 3u);
    EXPECT_EQ(json.at("o").at("x").as_int(), 0);
}

TEST(Json, ObjectsKeepTheOrderOfTheirKeys) {
    const Json json = parse(R"({"zebra": 1, "ant": 2, "mole": 3})");
    std::string order;
    for (const auto& [key, value] : json.as_object()) order += key + " ";
    EXPECT_EQ(order, "zebra ant mole ");
}

TEST(Json, FindTreatsNullAsAbsent) {
    const Json json = parse(R"({"a": null, "b": 1})");
    EXPECT_EQ(json.find("a"), nullptr);
    EXPECT_EQ(json.find("c"), nullptr);
    ASSERT_NE(json.find("b"), nullptr);
    EXPECT_TRUE(json.contains("a"));
    EXPECT_FALSE(json.contains("c"));
}

TEST(Json, IntegersAreOnlyWhatIsSpelledAsIntegers) {
    EXPECT_TRUE(parse("9223372036854775807").is_int());
    EXPECT_EQ(parse("-9223372036854775808").as_int(), std::numeric_limits<int64_t>::min());
    for (const char* text : {"1.0", "1e2", "-0", "9223372036854775808", "18446744073709551616",
                             "-9223372036854775809"}) {
        SCOPED_TRACE(text);
        const Json json = parse(text);
        EXPECT_FALSE(json.is_int());
        EXPECT_TRUE(json.is_number());
        expect_error(ErrorCode::Corrupt, {"expected an integer"}, [&] { json.as_int(); });
    }
    EXPECT_EQ(parse("12").as_double(), 12.0);
}

TEST(Json, RangeChecksNameTheRange) {
    const Json json = parse(R"({"layers": 2000})");
    EXPECT_EQ(json.at("layers").as_int(1, 2000), 2000);
    expect_error(ErrorCode::Corrupt, {"config.json: layers is 2000", "1 to 1024"},
                 [&] { json.at("layers").as_int(1, 1024); });
}

TEST(Json, MessagesSayWhereAndWhat) {
    const Json json = parse(R"({"hidden_size": "big", "rope": {"factor": [1, true]}, "x": 1.5})");
    expect_error(ErrorCode::Corrupt, {"config.json: hidden_size is a string, expected an integer"},
                 [&] { json.at("hidden_size").as_int(); });
    expect_error(ErrorCode::Corrupt,
                 {"config.json: rope.factor[1] is a boolean, expected a number"},
                 [&] { json.at("rope").at("factor").as_array()[1].as_double(); });
    expect_error(ErrorCode::Corrupt, {"config.json: rope has no \"theta\""},
                 [&] { json.at("rope").at("theta"); });
    expect_error(ErrorCode::Corrupt, {"config.json has no \"vocab_size\""},
                 [&] { json.at("vocab_size"); });
    expect_error(ErrorCode::Corrupt, {"config.json: x is a fractional number, expected an integer"},
                 [&] { json.at("x").as_int(); });
    expect_error(ErrorCode::Corrupt, {"config.json is an array, expected an object"},
                 [&] { parse("[]").as_object(); });
    expect_error(ErrorCode::Corrupt, {"config.json: [2] is null, expected a string"},
                 [&] { parse("[1, 2, null]").as_array()[2].as_string(); });
}

TEST(Json, MembersOfLongArraysShareAPlaceThatStillNamesTheArray) {
    const Json json = parse(std::string("{\"merges\": [") + repeated("[\"a\", 1],", 5000) + "[]]}");
    const auto& merges = json.at("merges").as_array();
    EXPECT_EQ(merges[100].as_array()[1].place(), "config.json: merges[100][1]");
    EXPECT_EQ(&merges[3000].as_array()[1].place(), &merges[4000].place());
    expect_error(ErrorCode::Corrupt, {"config.json: merges (in member", "is an integer"},
                 [&] { merges[4000].as_array()[1].as_string(); });
}

TEST(Json, RefusesWhatIsNotOneJsonText) {
    for (const char* text : {"",
                             " ",
                             "{",
                             "[1, 2",
                             "{\"a\"}",
                             "{\"a\": }",
                             "{\"a\": 1,}",
                             "[1,]",
                             "[1 2]",
                             "nul",
                             "tru",
                             "NaN",
                             "[NaN]",
                             "Infinity",
                             "-Infinity",
                             "01",
                             "+1",
                             "1.",
                             ".5",
                             "0x10",
                             "1e",
                             "'a'",
                             "\"a",
                             "\"\\x\"",
                             "\"\\u12\"",
                             "\"tab\there\"",
                             "{} {}",
                             "{}x",
                             "1 2",
                             "[] ]",
                             "// note\n{}",
                             "{/* note */}",
                             "{a: 1}",
                             "{1: 2}",
                             "\"\\ud800\"",
                             "\"\\udc00x\"",
                             "\"\\ud800\\u0041\"",
                             "\x01"}) {
        expect_corrupt(text);
    }
}

TEST(Json, SaysWhereTheTextBreaks) {
    expect_corrupt("{\n  \"a\": 1,\n  \"b\": ?\n}", {"line 3, column 8"});
}

TEST(Json, RefusesNumbersThatOverflow) {
    expect_corrupt("[1e400]");
    expect_corrupt("-1e999");
    EXPECT_EQ(parse("1e-400").as_double(), 0.0);
}

TEST(Json, RefusesByteOrderMarksAndNulBytes) {
    expect_corrupt("\xef\xbb\xbf{}", {"byte order mark"});
    expect_corrupt(std::string("{}\0", 3), {"NUL", "offset 2"});
    expect_corrupt(std::string("{}\0\0\0{\"a\":1}", 12), {"NUL"});
    expect_corrupt(std::string("\"a\0b\"", 5), {"NUL"});
}

TEST(Json, RefusesTextThatIsNotUtf8) {
    for (const char* bytes :
         {"\x80", "\xc0\x80", "\xc1\xbf", "\xe0\x80\x80", "\xe0\x9f\xbf", "\xed\xa0\x80",
          "\xed\xbf\xbf", "\xf0\x80\x80\x80", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff",
          "\xe2\x82", "\xf0\x9f\x98"}) {
        expect_corrupt(std::string("\"").append(bytes).append("\""), {"UTF-8", "byte 1"});
    }
    EXPECT_EQ(parse("\"\xed\x9f\xbf\xf4\x8f\xbf\xbf\"").as_string(),
              "\xed\x9f\xbf\xf4\x8f\xbf\xbf");
}

TEST(Json, RefusesDuplicateKeysHoweverSpelled) {
    expect_corrupt(R"({"a": 1, "b": 2, "a": 3})", {"\"a\" twice"});
    expect_corrupt(R"({"a": 1, "\u0061": 3})", {"\"a\" twice"});
    expect_corrupt(R"({"x": {"k": 1, "k": 1}})", {"\"k\" twice"});
    EXPECT_NO_THROW(parse(R"({"x": {"k": 1}, "y": {"k": 1}, "k": {}})"));
}

TEST(Json, DepthIsBoundedBeforeItCosts) {
    const auto nested = [](int depth) { return repeated("[", depth) + repeated("]", depth); };
    EXPECT_NO_THROW(parse(nested(32)));
    expect_corrupt(nested(33), {"deeper than 32"});
    expect_corrupt(repeated("[", 1'000'000), {"deeper than 32"});
    expect_corrupt(repeated("{\"a\":", 500'000), {"deeper than 32"});
    EXPECT_NO_THROW(Json::parse(nested(64), "x", {.max_depth = 64}));
}

TEST(Json, SizeAndNumberOfValuesAreBounded) {
    expect_error(ErrorCode::Corrupt, {"body has 11 bytes", "at most 10"},
                 [] { Json::parse("[1,2,3,4,5]", "body", {.max_bytes = 10}); });
    expect_error(ErrorCode::Corrupt, {"more than 5 values"},
                 [] { Json::parse("[1,2,3,4,5]", "body", {.max_values = 5}); });
    EXPECT_NO_THROW(Json::parse("[1,2,3,4,5]", "body", {.max_bytes = 11, .max_values = 6}));
}

TEST(Json, HostileKeysCannotBreakAMessage) {
    const Json json = parse(std::string("{\"a\\nb\\u001b[31m") + repeated("k", 1000) + "\": 1}");
    const Json& value = json.as_object()[0].second;
    expect_error(ErrorCode::Corrupt, {"a\\x0ab\\x1b[31m", "..."}, [&] { value.as_string(); });
}

TEST(Json, ReadsFilesAndOnlyFiles) {
    const test::TempDir dir;
    const std::string path = dir / "config.json";
    expect_error(ErrorCode::NotFound, {path}, [&] { Json::parse_file(path); });
    std::ofstream(path) << R"({"a": "x"})";
    EXPECT_EQ(Json::parse_file(path).at("a").as_string(), "x");
    expect_error(ErrorCode::Corrupt, {path + ": a is a string"},
                 [&] { Json::parse_file(path).at("a").as_int(); });
    expect_error(ErrorCode::Corrupt, {path, "at most 4"},
                 [&] { Json::parse_file(path, {.max_bytes = 4}); });
    expect_error(ErrorCode::NotFound, {dir.path()}, [&] { Json::parse_file(dir.path()); });
}

TEST(JsonDump, OneLineAndIndented) {
    Json json;
    json.set("b", Json::Array{1, 2.5, "x"});
    json.set("a", Json::Object{});
    json.set("c", Json());
    EXPECT_EQ(json.dump(-1), R"({"b":[1,2.5,"x"],"a":{},"c":null})");
    EXPECT_EQ(json.dump(2),
              "{\n  \"b\": [\n    1,\n    2.5,\n    \"x\"\n  ],\n  \"a\": {},\n  \"c\": null\n}");
}

TEST(JsonDump, DoublesAreShortAndReadBackEqual) {
    EXPECT_EQ(Json(0.1).dump(), "0.1");
    EXPECT_EQ(Json(10000.0).dump(), "10000.0");
    EXPECT_EQ(Json(-0.0).dump(), "-0.0");
    EXPECT_EQ(Json(1e300).dump(), "1e+300");
    EXPECT_EQ(Json(std::nan("")).dump(), "null");
    EXPECT_EQ(Json(-std::numeric_limits<double>::infinity()).dump(), "null");
    std::mt19937_64 rng(7);
    for (int i = 0; i < 20000; ++i) {
        const uint64_t bits = rng();
        double value = 0;
        std::memcpy(&value, &bits, sizeof value);
        if (!std::isfinite(value)) continue;
        const Json back = Json::parse(Json(value).dump(), "x");
        ASSERT_FALSE(back.is_int());
        ASSERT_EQ(back.as_double(), value);
    }
}

TEST(JsonDump, IntegersReadBackAsIntegers) {
    for (const int64_t value : {int64_t{0}, int64_t{-1}, std::numeric_limits<int64_t>::max(),
                                std::numeric_limits<int64_t>::min()}) {
        EXPECT_EQ(Json::parse(Json(value).dump(), "x").as_int(), value);
    }
}

TEST(JsonDump, EveryStringBecomesValidJson) {
    std::string all;
    for (int c = 0; c < 256; ++c) all += static_cast<char>(c);
    const std::string text = Json(all).dump();
    EXPECT_EQ(first_non_utf8(text), text.size());
    const std::string back = Json::parse(text, "x").as_string();
    EXPECT_EQ(back.substr(0, 128), all.substr(0, 128));
    EXPECT_EQ(back.substr(128, 3), "\xef\xbf\xbd");
    EXPECT_EQ(Json("\"\\/\b\n").dump(), R"("\"\\/\u0008\n")");
}

TEST(JsonDump, UnicodeStaysAsItIs) {
    EXPECT_EQ(Json("h\u00e9 \u4f60 \U0001F600").dump(), "\"h\u00e9 \u4f60 \U0001F600\"");
}

TEST(Json, SetReplacesInPlaceAndAppendsAtTheEnd) {
    Json json = parse(R"({"a": 1, "b": 2})");
    json.set("a", "new");
    json.set("c", true);
    EXPECT_EQ(json.dump(-1), R"({"a":"new","b":2,"c":true})");
    Json list;
    list.push_back(1);
    list.push_back(json);
    EXPECT_EQ(list.dump(-1), R"([1,{"a":"new","b":2,"c":true}])");
}

}  // namespace quarot::io
