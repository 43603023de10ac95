// quarot reproduce on the sample model: every row of every table, and kills at any moment.
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <filesystem>
#include <random>
#include <set>

#include "e2e/expectations.h"
#include "e2e/program.h"
#include "support/checkout.h"
#include "support/temp_dir.h"

namespace quarot::test {
namespace {

using Clock = std::chrono::steady_clock;
using Words = std::vector<std::string>;

const std::string kModel = in_checkout("models/tiny-novels");
const Words kText = {"--text", kModel + "/eval.txt", "--seqlen", "256"};
const Words kCalibration = {"--calib", kModel + "/calib.txt", "--nsamples", "4"};

Words joined(std::initializer_list<Words> parts) {
    Words all;
    for (const Words& part : parts) all.insert(all.end(), part.begin(), part.end());
    return all;
}

Words reproduce(const std::string& out, const Words& flags) {
    return joined({{"reproduce", kModel, "--windows", "2", "--out", out, "--json"},
                   kText,
                   kCalibration,
                   flags});
}

// The rows without what may differ from run to run.
std::string timeless(const io::Json& json) {
    std::string text;
    for (const io::Json& row : json.at("rows").as_array()) {
        for (const auto& [key, value] : row.as_object()) {
            const bool varies =
                key.ends_with("seconds") || key == "tokens_per_second" || key == "peak_rss_bytes";
            if (!varies) text += key + "=" + value.dump(-1) + "\n";
        }
    }
    return text;
}

TEST(ReproduceSlow, EveryRowEqualsASeparateQuantizeAndPerplexity) {
    const TempDir dir;
    const std::string quantized = dir / "q";
    const Outcome outcome = run_program(reproduce(dir / "out", {}));
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
    std::set<std::string> seen;
    const io::Json document = outcome.json();
    for (const io::Json& row : document.at("rows").as_array()) {
        const std::string recipe = row.at("recipe").as_string();
        if (row.at("perplexity").is_null() || !seen.insert(recipe).second) continue;
        const bool original = recipe == "none";
        if (!original) {
            expect_success(run_program(
                joined({{"quantize", kModel, quantized, "--recipe", recipe, "--overwrite"},
                        {"--seqlen", "256"},
                        kCalibration})));
        }
        const Outcome alone = run_program(joined(
            {{"perplexity", original ? kModel : quantized, "--windows", "2", "--json"}, kText}));
        ASSERT_EQ(alone.exit_code, 0) << alone.err;
        EXPECT_EQ(row.at("perplexity").as_double(), alone.json().at("perplexity").as_double())
            << recipe;
    }
    EXPECT_GE(seen.size(), 40u);
}

TEST(ReproduceSlow, KilledAtAnyMomentItEndsWithTheSameReport) {
    const TempDir dir;
    const Words tables = {"--tables", "3,6,8"};
    const Outcome whole = run_program(reproduce(dir / "whole", tables));
    ASSERT_EQ(whole.exit_code, 0) << whole.err;
    std::mt19937 random(5);
    std::uniform_int_distribution<int> milliseconds(20, 900);
    for (int kill = 0; kill < 20; ++kill) {
        const auto due = Clock::now() + std::chrono::milliseconds(milliseconds(random));
        RunOptions options;
        options.stop = Stop{SIGKILL, [due] { return Clock::now() >= due; }};
        const Outcome killed = run_program(reproduce(dir / "killed", tables), options);
        ASSERT_TRUE(killed.exit_code == 0 || killed.exit_code == -SIGKILL) << killed.err;
    }
    const Outcome resumed = run_program(reproduce(dir / "killed", tables));
    ASSERT_EQ(resumed.exit_code, 0) << resumed.err;
    EXPECT_EQ(timeless(resumed.json()), timeless(whole.json()));
    EXPECT_TRUE(std::filesystem::is_empty(dir / "killed/models"));
}

}  // namespace
}  // namespace quarot::test
