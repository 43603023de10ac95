#include "folder/generation_config.h"

#include <gtest/gtest.h>

#include <string>

#include "core/error.h"

namespace quarot::folder {
namespace {

GenerationDefaults read(const std::string& text) {
    return read_generation_defaults(io::Json::parse(text, "generation_config.json"));
}

TEST(GenerationConfig, SaysNothingWhereTheFileSaysNothing) {
    for (const char* text : {"{}", R"({"eos_token_id": 2, "max_new_tokens": 9})",
                             R"({"temperature": null, "top_k": null, "do_sample": null})"}) {
        const GenerationDefaults defaults = read(text);
        EXPECT_FALSE(defaults.temperature) << text;
        EXPECT_FALSE(defaults.top_k || defaults.top_p || defaults.min_p) << text;
        EXPECT_FALSE(defaults.repetition_penalty) << text;
    }
}

TEST(GenerationConfig, GivesEveryValue) {
    const GenerationDefaults defaults =
        read(R"({"do_sample": true, "temperature": 0.6, "top_k": 20, "top_p": 0.95, "min_p": 0.1,
                 "repetition_penalty": 1.05})");
    EXPECT_EQ(defaults.temperature, 0.6f);
    EXPECT_EQ(defaults.top_k, 20);
    EXPECT_EQ(defaults.top_p, 0.95f);
    EXPECT_EQ(defaults.min_p, 0.1f);
    EXPECT_EQ(defaults.repetition_penalty, 1.05f);
}

TEST(GenerationConfig, DoSampleFalseIsGreedy) {
    const GenerationDefaults defaults =
        read(R"({"do_sample": false, "temperature": 0.6, "top_p": 0.9})");
    EXPECT_EQ(defaults.temperature, 0.0f);
    EXPECT_EQ(defaults.top_p, 0.9f) << "for whoever gives a temperature";
}

TEST(GenerationConfig, SamplesAtTemperatureOneWhereOnlyTheTemperatureIsMissing) {
    EXPECT_EQ(read(R"({"do_sample": true})").temperature, 1.0f);
    EXPECT_EQ(read(R"({"top_p": 0.9})").temperature, 1.0f);
    EXPECT_FALSE(read(R"({"repetition_penalty": 1.1})").temperature);
}

TEST(GenerationConfig, TakesTheLeastTopPAndTheOtherSpellingOfNoTopK) {
    EXPECT_EQ(read(R"({"top_p": 0})").top_p, 0.0f);
    EXPECT_EQ(read(R"({"top_p": 1e-60})").top_p, 0.0f);
    EXPECT_EQ(read(R"({"top_k": -1})").top_k, 0);
}

TEST(GenerationConfig, RefusesWhatIsOutOfRange) {
    struct Bad {
        const char* key;
        const char* value;
    };
    for (const auto& [key, value] :
         {Bad{"temperature", "-0.1"}, Bad{"temperature", "10.5"}, Bad{"temperature", "1e300"},
          Bad{"temperature", "\"hot\""}, Bad{"temperature", "[1]"}, Bad{"top_k", "-2"},
          Bad{"top_k", "2.5"}, Bad{"top_k", "9223372036854775807"}, Bad{"top_p", "-0.1"},
          Bad{"top_p", "1.01"}, Bad{"min_p", "-1"}, Bad{"min_p", "2"},
          Bad{"repetition_penalty", "0"}, Bad{"repetition_penalty", "1e9"}, Bad{"do_sample", "1"},
          Bad{"do_sample", "\"yes\""}}) {
        const std::string text = std::string("{\"") + key + "\": " + value + "}";
        try {
            read(text);
            ADD_FAILURE() << text;
        } catch (const Error& error) {
            EXPECT_EQ(error.code(), ErrorCode::Corrupt) << text;
            const std::string place = std::string("generation_config.json: ") + key;
            EXPECT_NE(std::string(error.what()).find(place), std::string::npos) << error.what();
        }
    }
    EXPECT_THROW(read("[]"), Error);
    EXPECT_THROW(read("3"), Error);
}

TEST(GenerationConfig, AFolderWithoutTheFileSaysNothing) {
    EXPECT_FALSE(generation_defaults_of("/no/such/folder").temperature);
}

}  // namespace
}  // namespace quarot::folder
