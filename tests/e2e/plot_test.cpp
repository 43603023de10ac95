// quarot plot from outside: from what the other commands write to pictures and a page, and what is
// said of files that are none of theirs.
#include <gtest/gtest.h>

#include <filesystem>

#include "e2e/command_words.h"
#include "e2e/expectations.h"
#include "e2e/model_surgery.h"
#include "e2e/program.h"
#include "io/file.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"

namespace quarot::test {
namespace {

class PlotCommand : public testing::Test {
  protected:
    void SetUp() override {
        write_tiny_model(model_);
        write_bytes(text_, std::string(200, 'a') + "the quick brown fox jumps over the dog");
    }
    // Keeps what a command prints with --json.
    std::string document(const std::string& name, const Words& words) const {
        const Outcome outcome = run_program(with_flags(words, {"--json"}));
        expect_success(outcome);
        write_bytes(dir_ / name, outcome.out);
        return dir_ / name;
    }
    std::string stats(const Words& flags = {}) const {
        return document("stats.json", with_flags({"stats", model_, "--text", text_}, flags));
    }
    std::string picture(const std::string& name) const {
        return io::read_text(out_ + "/" + name, int64_t{1} << 24);
    }

    const TempDir dir_;
    const std::string model_ = dir_ / "model", text_ = dir_ / "text", out_ = dir_ / "pictures";
};

TEST_F(PlotCommand, DrawsWhatEveryCommandMeasured) {
    const Words window = {"--text", text_, "--seqlen", "32", "--windows", "1"};
    const Words files = {
        stats(), document("p4.json", with_flags({"perplexity", model_}, window)),
        document(
            "report.json",
            with_flags({"reproduce", model_, "--tables", "3", "--out", dir_ / "tables"}, window)),
        document("bench.json", {"bench", "-m", model_, "-p", "8", "-n", "4", "-r", "2"})};
    const Outcome outcome =
        run_program(with_flags(with_flags({"plot"}, files), {"--out", out_, "--json"}));
    expect_success(outcome);
    const io::Json json = outcome.json();
    expect_document(json, "plot", {"out", "files"});
    for (const io::Json& file : json.at("files").as_array()) {
        EXPECT_TRUE(std::filesystem::exists(file.as_string())) << file.as_string();
    }
    for (const char* name :
         {"kurtosis-activations.svg", "sqnr-weights.svg", "speed.svg", "table3-perplexity.svg"}) {
        EXPECT_TRUE(picture(name).starts_with("<svg xmlns=")) << name;
        EXPECT_NE(picture(name).find("prefers-color-scheme:dark"), std::string::npos) << name;
    }
    const std::string page = picture("report.html");
    for (const char* part : {"QuaRot-RTN INT4", "down_proj", "tokens/s", "</html>"}) {
        EXPECT_NE(page.find(part), std::string::npos) << part;
    }
    EXPECT_EQ(listing(out_).size(), json.at("files").as_array().size());
}

TEST_F(PlotCommand, BandsAreThoseThatAreAskedFor) {
    const std::string file = stats({"--points", "mlp_in,down_in,weights"});
    const Outcome chosen =
        run_program({"plot", file, "--layers", "0,1", "--points", "down_in,k_proj", "--out", out_});
    expect_success(chosen);
    for (const char* name :
         {"down_in-layer0", "down_in-layer1", "k_proj-layer0", "k_proj-layer1"}) {
        EXPECT_NE(chosen.out.find(std::string("bands-") + name + ".svg"), std::string::npos)
            << chosen.out;
    }
    EXPECT_EQ(chosen.out.find("bands-mlp_in"), std::string::npos) << chosen.out;
    const Outcome all = run_program({"plot", file, "--out", out_ + "2"});
    expect_success(all);
    EXPECT_NE(all.out.find("bands-mlp_in-layer"), std::string::npos) << all.out;
    EXPECT_EQ(all.out.find("bands-k_proj"), std::string::npos) << "weights only if asked for";
    expect_failure(run_program({"plot", file, "--points", "attn_in", "--out", out_ + "3"}), kUsage,
                   {"attn_in", "down_in"});
    expect_failure(run_program({"plot", file, "--layers", "7", "--out", out_ + "3"}), kUsage,
                   {"--layers"});
    expect_failure(run_program({"plot", file, "--layers", "1,99", "--out", out_ + "3"}), kUsage,
                   {"--layers", "layer 99"});
    EXPECT_FALSE(std::filesystem::exists(out_ + "3"));
}

TEST_F(PlotCommand, PerplexitiesThatCannotBeComparedHaveTheirOwnPictures) {
    Words files;
    for (const std::string bits : {"4", "8"}) {
        const std::string folder = dir_ / ("w" + bits);
        expect_success(
            run_program({"quantize", model_, folder, "--recipe", "rtn", "--w-bits", bits}));
        for (const std::string seqlen : {"16", "32"}) {
            files.push_back(document(
                "w" + bits + "-" + seqlen + ".json",
                {"perplexity", folder, "--text", text_, "--seqlen", seqlen, "--windows", "2"}));
        }
    }
    expect_success(run_program(with_flags(with_flags({"plot"}, files), {"--out", out_})));
    EXPECT_NE(picture("1-perplexity.svg").find("seqlen 16"), std::string::npos);
    EXPECT_NE(picture("2-perplexity.svg").find("seqlen 32"), std::string::npos);
    for (const char* name : {"1-perplexity.svg", "2-perplexity.svg"}) {
        size_t n_points = 0;
        const std::string svg = picture(name);
        for (size_t at = svg.find("bits: weights"); at != std::string::npos;
             at = svg.find("bits: weights", at + 1)) {
            ++n_points;
        }
        EXPECT_EQ(n_points, 2u) << name;
    }
}

TEST_F(PlotCommand, WhatIsThereStaysUnlessItMayBeReplaced) {
    const Words words = {"plot", stats({"--points", "v"}), "--out", out_};
    expect_success(run_program(words));
    const auto before = listing(out_);
    expect_failure(run_program(words), kUsage, {"exists", "--overwrite"});
    expect_success(run_program(with_flags(words, {"--overwrite"})));
    EXPECT_EQ(listing(out_), before) << "no temporary file is left";
    write_bytes(dir_ / "file", "");
    expect_failure(run_program({"plot", dir_ / "stats.json", "--out", dir_ / "file"}), kIo,
                   {"--out"});
}

TEST_F(PlotCommand, SaysWhichFileIsWrongAndWhy) {
    expect_failure(run_program({"plot", "--out", out_}), kUsage, {"no file"});
    expect_failure(run_program({"plot", "a.json"}), kUsage, {"--out"});
    const std::string good = stats({"--points", "v"}), bad = dir_ / "bad.json";
    const auto refused = [&](int code, const std::string& text, std::vector<std::string> words) {
        write_bytes(bad, text);
        words.emplace_back("bad.json");
        expect_failure(run_program({"plot", good, bad, "--out", out_}), code, words);
        EXPECT_FALSE(std::filesystem::exists(out_));
    };
    refused(kCorrupt, "not JSON", {});
    const std::string whole = io::read_text(good, 1 << 24);
    refused(kCorrupt, whole.substr(0, whole.size() - 100), {});
    refused(kCorrupt, R"({"rows": [1]})", {"schema"});
    refused(kUnsupported, R"({"schema": "quarot.quantize/1"})",
            {"quarot.quantize/1", "quarot.stats/1"});
    refused(kCorrupt, R"({"schema": "quarot.reproduce/1", "model": "m", "text": "t", "rows": 5})",
            {"rows"});
    expect_failure(run_program({"plot", dir_ / "none.json", "--out", out_}), kNotFound,
                   {"none.json"});
}

TEST_F(PlotCommand, NamesFromFilesAreNoMarkup) {
    std::string text = io::read_text(stats({"--points", "v"}), 1 << 24);
    const std::string name = "\"model\": \"";
    text.insert(text.find(name) + name.size(), "</title><script>alert(1)</script>");
    write_bytes(dir_ / "stats.json", text);
    expect_success(run_program({"plot", dir_ / "stats.json", "--out", out_}));
    EXPECT_EQ(picture("report.html").find("<script"), std::string::npos);
    EXPECT_NE(picture("report.html").find("&lt;script&gt;"), std::string::npos);
}

}  // namespace
}  // namespace quarot::test
