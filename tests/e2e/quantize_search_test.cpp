// quarot quantize that looks for settings first: --budget and --guard.
#include <filesystem>
#include <iterator>

#include "e2e/model_surgery.h"
#include "e2e/quantize_fixture.h"

namespace quarot::test {
namespace {

using QuantizeSearch = Quantize;

// Two calibration windows and the four that are held out, and as many again.
std::string search_text() {
    std::string text;
    for (int i = 0; i < 400; ++i) text += static_cast<char>('a' + (i * i * 7 + i / 5) % 26);
    return text;
}

TEST_F(QuantizeSearch, SpendsABudgetAsItsPlanSays) {
    write_bytes(text_, search_text());
    const Words flags = {"--recipe", "quarot",   "--calib", text_,      "--nsamples",
                         "2",        "--seqlen", "32",      "--budget", "9"};
    const io::Json json = run(flags);
    const io::Json& plan = json.at("budget");
    EXPECT_LE(plan.at("bits").as_double(), 9.0);
    EXPECT_GT(plan.at("bits").as_double(), plan.at("recipe_bits").as_double());
    const io::Json& bits = json.at("bits_per_value");
    EXPECT_NEAR(plan.at("bits").as_double(),
                (bits.at("weights").as_double() + bits.at("activations").as_double() +
                 (bits.at("k").as_double() + bits.at("v").as_double()) / 2) /
                    3,
                1e-12);
    const io::Json recipe = inspect().at("recipe");
    for (const io::Json& place : plan.at("places").as_array()) {
        if (place.at("place").as_string() != "k") continue;
        EXPECT_EQ(recipe.at("k").at("bits").as_int(), place.at("chosen").as_int());
    }
    Words words = {"quantize", model_, dir_ / "told"};
    words.insert(words.end(), flags.begin(), flags.end());
    const Outcome told = run_program(words);
    expect_success(told);
    const size_t planned = told.out.find("KL per bit"), made = told.out.find("weight error");
    EXPECT_LT(planned, made) << told.out;
    EXPECT_EQ(std::distance(std::filesystem::directory_iterator(dir_.path()), {}), 4)
        << "the text, the model, and what was made of it";
}

TEST_F(QuantizeSearch, RefusesASearchThatCannotBe) {
    write_bytes(text_, search_text());
    const auto refuse = [&](const Words& flags, const std::string& words) {
        Words all = {"quantize", model_, out_};
        all.insert(all.end(), flags.begin(), flags.end());
        const Outcome outcome = run_program(all);
        EXPECT_EQ(outcome.exit_code, 2) << outcome.err;
        EXPECT_NE(outcome.err.find(words), std::string::npos) << outcome.err;
    };
    refuse({"--recipe", "quarot-rtn", "--budget", "3", "--calib", text_}, "--budget is 3 bits");
    refuse({"--recipe", "quarot-rtn", "--budget", "1", "--calib", text_},
           "--budget is '1', expected");
    refuse({"--recipe", "quarot-rtn", "--budget", "9"}, "give one with --calib");
    refuse({"--recipe", "quarot-rtn", "--budget", "9", "--calib", text_, "--seqlen", "64"},
           "are held out");
    refuse({"--recipe", "quarot-rtn", "--guard"},
           "--guard judges settings by what they change on a text: give one with --calib");
    EXPECT_FALSE(std::filesystem::exists(out_));
}

TEST_F(QuantizeSearch, GuardTurnsBackAClipThatHurtsAndKeepsItsName) {
    write_bytes(text_, search_text());
    const io::Json json = run({"--guard", "--a-clip", "0.3", "--calib", text_, "--seqlen", "32"});
    const io::Json::Array& knobs = json.at("guard").at("knobs").as_array();
    ASSERT_EQ(knobs.size(), 1u);
    EXPECT_EQ(knobs[0].at("settings").as_array().at(0).as_string(), "activations.clip");
    EXPECT_TRUE(knobs[0].at("reverted").as_bool());
    const io::Json recipe = inspect().at("recipe");
    EXPECT_EQ(recipe.at("recipe").as_string(), "quarot-rtn");
    EXPECT_EQ(recipe.at("activations").at("clip").as_double(), 0.9);
    const io::Json made = io::Json::parse_file(out_ + "/quarot.json");
    EXPECT_EQ(made.at("reverted").as_array().at(0).as_string(), "clip of activations");
}

}  // namespace
}  // namespace quarot::test
