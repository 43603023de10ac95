// quarot stats from outside: document, file and table, the sample model's outliers before and after
// rotation, and what is said of places, layers, recipes and folders that cannot be.
#include <gtest/gtest.h>

#include <filesystem>

#include "e2e/command_words.h"
#include "e2e/expectations.h"
#include "e2e/model_surgery.h"
#include "e2e/program.h"
#include "support/checkout.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"

namespace quarot::test {
namespace {

class StatsCommand : public testing::Test {
  protected:
    void SetUp() override {
        write_tiny_model(model_);
        write_bytes(text_, "the quick brown fox jumps over the lazy dog, twice and again");
    }
    Outcome stats(const Words& flags) const {
        return run_program(with_flags({"stats", model_, "--text", text_}, flags));
    }

    const TempDir dir_;
    const std::string model_ = dir_ / "model", text_ = dir_ / "text", out_ = dir_ / "stats.json";
};

TEST_F(StatsCommand, WritesOneDocumentToBothPlacesAndATable) {
    const Outcome outcome = stats({"--out", out_, "--seqlen", "16", "--json"});
    expect_success(outcome);
    const io::Json json = outcome.json();
    expect_document(
        json, "stats",
        {"model", "recipe", "rotation", "text", "tokens", "seqlen", "points", "weights"});
    EXPECT_EQ(io::Json::parse_file(out_).dump(), json.dump());
    EXPECT_EQ(json.at("tokens").as_int(), 60);
    EXPECT_EQ(json.at("points").as_array().size(), 12u);
    EXPECT_EQ(json.at("weights").as_array().size(), 14u);
    for (const io::Json& point : json.at("points").as_array()) {
        for (const char* stage : {"before", "after"}) {
            const io::Json& summary = point.at(stage);
            EXPECT_EQ(summary.at("rows").as_int(), 60);
            const io::Json& channels = summary.at("channels");
            for (const char* band : {"min", "p1", "p25", "p75", "p99", "max"}) {
                EXPECT_EQ(std::ssize(channels.at(band).as_array()), point.at("channels").as_int());
            }
        }
    }
    const Outcome table = stats({"--layers", "1", "--points", "down_in,k", "--tokens", "20"});
    expect_success(table);
    EXPECT_NE(table.out.find("20 tokens"), std::string::npos) << table.out;
    EXPECT_NE(table.out.find("\ndown_in"), std::string::npos) << table.out;
    EXPECT_EQ(table.out.find("q_proj"), std::string::npos) << table.out;
}

TEST_F(StatsCommand, OutliersOfTheSampleModelAreGoneAfterRotation) {
    const std::string model = checkout() + "/models/tiny-novels";
    const Outcome outcome =
        run_program({"stats", model, "--text", model + "/eval.txt", "--seqlen", "512", "--tokens",
                     "512", "--layers", "1", "--points", "mlp_in,down_in", "--json"});
    expect_success(outcome);
    const io::Json json = outcome.json();
    const auto figure = [&](size_t point, const char* stage, const char* key) {
        return json.at("points").as_array().at(point).at(stage).at(key).as_double();
    };
    EXPECT_GT(figure(1, "before", "kurtosis"), 1000.0);
    EXPECT_LT(figure(1, "after", "kurtosis"), figure(1, "before", "kurtosis") / 20);
    EXPECT_GT(figure(1, "before", "max_to_median"), 500.0);
    EXPECT_LT(figure(1, "after", "max_to_median"), 100.0);
    EXPECT_GT(figure(1, "after", "sqnr_db"), figure(1, "before", "sqnr_db") + 6.0);
    EXPECT_GT(figure(0, "after", "sqnr_db"), figure(0, "before", "sqnr_db"));
    EXPECT_LT(figure(0, "after", "kurtosis"), figure(0, "before", "kurtosis"));
}

TEST_F(StatsCommand, AFolderOfOursIsSeenAsItIs) {
    const std::string rotated = dir_ / "rotated";
    expect_success(run_program({"quantize", model_, rotated, "--recipe", "quarot-rtn"}));
    const Words points = {"--points", "down_in,v", "--json"};
    const Outcome outcome =
        run_program(with_flags({"stats", rotated, "--text", text_, "--a-bits", "8"}, points));
    expect_success(outcome);
    const io::Json json = outcome.json();
    const io::Json& point = json.at("points").as_array().front();
    EXPECT_TRUE(point.at("before").is_null());
    EXPECT_EQ(point.at("bits").as_int(), 8);
    EXPECT_GT(point.at("after").at("sqnr_db").as_double(), 25.0);
    expect_failure(
        run_program(with_flags({"stats", rotated, "--text", text_, "--w-bits", "3"}, points)),
        kUsage, {"rotated", "quarot-rtn"});
}

TEST_F(StatsCommand, CodesAreLeftOutUnlessWeightsAreNamed) {
    const std::string ours = dir_ / "ours";
    expect_success(run_program({"quantize", model_, ours, "--recipe", "quarot-rtn"}));
    const Outcome all = run_program({"stats", ours, "--text", text_, "--json"});
    expect_success(all);
    EXPECT_NE(all.err.find("stored as codes"), std::string::npos) << all.err;
    EXPECT_EQ(all.json().at("points").as_array().size(), 12u);
    EXPECT_TRUE(all.json().at("weights").as_array().empty());
    expect_failure(
        run_program({"stats", ours, "--text", dir_ / "none.txt", "--points", "down_in,weights"}),
        kUnsupported, {"q_proj of layer 0", "codes"});  // before the text is looked for
}

TEST_F(StatsCommand, SaysWhatCannotBe) {
    expect_failure(run_program({"stats", model_}), kUsage, {"--text"});
    expect_failure(stats({"--points", "attn_in,ffn"}), kUsage, {"--points", "ffn", "down_in"});
    expect_failure(stats({"--layers", "0,2"}), kUsage, {"layer 2", "0 to 1"});
    expect_failure(stats({"--recipe", "smoothquant"}), kUnsupported, {"smoothquant"});
    expect_failure(stats({"--seqlen", "1000"}), kUsage, {"--seqlen", "256"});
    expect_failure(stats({"--a-group-size", "5"}), kUsage, {"5"});
    expect_failure(stats({"--r1", dir_ / "none.safetensors"}), kNotFound, {"none.safetensors"});
    write_bytes(out_, "old");
    expect_failure(stats({"--out", out_}), kUsage, {"--out", "--overwrite"});
    expect_success(stats({"--out", out_, "--overwrite", "--points", "v"}));
    EXPECT_EQ(io::Json::parse_file(out_).at("schema").as_string(), "quarot.stats/1");
    expect_failure(stats({"--out", dir_ / "no/such.json", "--points", "v"}), kIo, {"mkdir -p"});
    write_bytes(text_, "");
    expect_failure(stats({}), kUsage, {"no tokens"});
}

}  // namespace
}  // namespace quarot::test
