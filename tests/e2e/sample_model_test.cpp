// The way of the README on the bundled sample model: quantize, measure, generate.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "e2e/expectations.h"
#include "e2e/model_surgery.h"
#include "e2e/program.h"
#include "support/checkout.h"
#include "support/temp_dir.h"

namespace quarot::test {
namespace {

const std::string kModel = in_checkout("models/tiny-novels");

class SampleModel : public testing::Test {
  protected:
    void SetUp() override {
        if (!std::filesystem::exists(kModel + "/config.json")) {
            GTEST_SKIP() << kModel << " is not there";
        }
    }

    io::Json perplexity(const std::string& model, const std::string& text) const {
        const Outcome outcome = run_program({"perplexity", model, "--text", text, "--seqlen", "256",
                                             "--windows", "1", "--kl-base", kModel, "--json"});
        expect_success(outcome);
        return outcome.json();
    }

    const TempDir dir_;
};

// What is scored may begin behind the tokens of a first step.
TEST_F(SampleModel, WindowsAreScoredFromAnyPositionOn) {
    const auto scored = [](const std::string& protocol, const std::string& windows) {
        return run_program({"perplexity", kModel, "--text", kModel + "/eval.txt", "--seqlen",
                            "1100", "--protocol", protocol, "--windows", windows, "--json"})
            .json()
            .at("scored_tokens")
            .as_int();
    };
    EXPECT_EQ(scored("llamacpp", "1"), 549);
    EXPECT_GT(scored("lmeval", "1"), 1100);
}

TEST_F(SampleModel, RotationSavesMostOfWhatRoundingLoses) {
    // The prompt texts of the reference values, again and again, are text enough for one window.
    std::string text;
    const io::Json reference = io::Json::parse_file(kModel + "/reference.json");
    for (const auto& [name, prompt] : reference.at("prompts").as_object()) {
        text += prompt.at("text").as_string() + "\n";
    }
    while (text.size() < 4000) text += text;
    write_bytes(dir_ / "text", text);

    expect_success(run_program({"quantize", kModel, dir_ / "rotated", "--recipe", "quarot-rtn"}));
    expect_success(run_program({"quantize", kModel, dir_ / "plain", "--recipe", "rtn"}));
    const io::Json rotated = perplexity(dir_ / "rotated", dir_ / "text");
    const io::Json plain = perplexity(dir_ / "plain", dir_ / "text");
    EXPECT_LT(rotated.at("kl_mean").as_double(), 0.5 * plain.at("kl_mean").as_double());
    EXPECT_LT(rotated.at("perplexity").as_double(), plain.at("perplexity").as_double());
}

// Each part of the rotation gives something at 4 bits, so that a subset stands between none and
// all.
TEST_F(SampleModel, EachRotationMoreIsBetterAtFourBits) {
    const Outcome outcome =
        run_program({"reproduce", kModel, "--text", kModel + "/eval.txt", "--seqlen", "256",
                     "--windows", "8", "--tables", "3", "--rotate", "none", "--rotate", "r4",
                     "--rotate", "hadamard", "--out", dir_ / "out", "--json"});
    expect_success(outcome);
    const io::Json json = outcome.json();
    const io::Json::Array& rows = json.at("rows").as_array();
    ASSERT_EQ(rows.size(), 1u + 2u * 3u);
    const auto perplexity_of = [&](size_t row) { return rows[row].at("perplexity").as_double(); };
    EXPECT_LT(1.3 * perplexity_of(2), perplexity_of(1)) << "down_proj reads the worst outliers";
    EXPECT_LT(1.1 * perplexity_of(3), perplexity_of(2));
    EXPECT_LT(1.1 * perplexity_of(0), perplexity_of(3)) << "and 4 bits are not free";
}

TEST_F(SampleModel, ContinuesAPromptAsTheReferenceDoes) {
    const io::Json prompts = io::Json::parse_file(kModel + "/reference.json").at("prompts");
    const auto& [name, prompt] = prompts.as_object().front();
    const Outcome outcome =
        run_program({"generate", kModel, "-p", prompt.at("text").as_string(), "-n", "8", "--json"});
    expect_success(outcome);
    const io::Json json = outcome.json();
    EXPECT_EQ(json.at("prompt_ids").dump(-1), prompt.at("ids").dump(-1));
    const io::Json::Array& ids = json.at("ids").as_array();
    for (size_t i = 0; i < ids.size(); ++i) {
        if (prompt.at("greedy_gap").as_array().at(i).as_double() < 1e-3) break;
        EXPECT_EQ(ids[i].as_int(), prompt.at("greedy").as_array().at(i).as_int()) << i;
    }
}

}  // namespace
}  // namespace quarot::test
