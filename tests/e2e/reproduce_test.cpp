// quarot reproduce: one report of many recipes, which survives being stopped.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "e2e/expectations.h"
#include "e2e/model_surgery.h"
#include "e2e/program.h"
#include "io/file.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"

namespace quarot::test {
namespace {

using Words = std::vector<std::string>;

constexpr int64_t kLargestReport = 1 << 20;

class Reproduce : public testing::Test {
  protected:
    void SetUp() override {
        write_tiny_model(model_);
        std::ofstream(text_) << "It was a dark and stormy night; the rain fell in torrents, except "
                                "at occasional intervals.";
    }

    Words words(const Words& flags) const {
        Words all = {"reproduce", model_, "--text", text_, "--seqlen", "16", "--out", out_};
        all.insert(all.end(), flags.begin(), flags.end());
        return all;
    }
    Outcome run(const Words& flags) const { return run_program(words(flags)); }
    std::string report(const std::string& name) const {
        return io::read_text(out_ + "/" + name, kLargestReport);
    }

    const TempDir dir_;
    const std::string model_ = dir_ / "model";
    const std::string text_ = dir_ / "t.txt";
    const std::string out_ = dir_ / "out";
};

// The report without what may differ from run to run.
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

TEST_F(Reproduce, PrintsTheDocumentThatItWrites) {
    const Outcome outcome = run({"--tables", "3", "--json"});
    expect_success(outcome);
    const io::Json json = outcome.json();
    expect_document(json, "reproduce", {"rows", "model", "text", "seqlen", "windows"});
    EXPECT_EQ(report("report.json"), outcome.out);
    const io::Json::Array& rows = json.at("rows").as_array();
    ASSERT_EQ(rows.size(), 3u);
    for (const io::Json& row : rows) {
        EXPECT_EQ(row.at("table").as_int(), 3);
        EXPECT_GT(row.at("perplexity").as_double(), 1.0);
        EXPECT_GE(row.at("bits_per_value").as_double(), 4.0);
        EXPECT_GE(row.at("seconds").as_double(), 0.0);
        EXPECT_TRUE(row.contains("peak_rss_bytes"));
    }
    EXPECT_EQ(rows[1].at("recipe").as_string(), "quarot-rtn");
    EXPECT_EQ(rows[1].at("paper").as_double(), 8.37);
}

TEST_F(Reproduce, EqualsSeparateQuantizeAndPerplexity) {
    const io::Json json = run({"--tables", "3,6", "--json"}).json();
    for (const std::string recipe : {"quarot-rtn", "quarot-rtn-w8a8kv8", "k2v3"}) {
        expect_success(
            run_program({"quantize", model_, dir_ / "q", "--recipe", recipe, "--overwrite"}));
        const double alone =
            run_program({"perplexity", dir_ / "q", "--text", text_, "--seqlen", "16", "--json"})
                .json()
                .at("perplexity")
                .as_double();
        bool found = false;
        for (const io::Json& row : json.at("rows").as_array()) {
            if (row.at("recipe").as_string() != recipe) continue;
            found = true;
            EXPECT_EQ(row.at("perplexity").as_double(), alone) << recipe;
        }
        EXPECT_TRUE(found) << recipe;
    }
}

TEST_F(Reproduce, WritesAReportForPeople) {
    const Outcome outcome = run({"--tables", "3", "--note", "A toy."});
    expect_success(outcome);
    EXPECT_NE(outcome.out.find("QuaRot-RTN INT8"), std::string::npos) << outcome.out;
    EXPECT_NE(outcome.out.find("report.md"), std::string::npos) << outcome.out;
    const std::string markdown = report("report.md");
    EXPECT_NE(markdown.find("A toy."), std::string::npos);
    EXPECT_NE(markdown.find("## Table 3"), std::string::npos);
    EXPECT_NE(outcome.err.find("table 3, QuaRot-RTN INT4: perplexity "), std::string::npos)
        << outcome.err;
}

TEST_F(Reproduce, GoesOnAfterAFullDisk) {
    const std::string whole = timeless(run({"--tables", "3,5", "--json"}).json());
    std::filesystem::remove_all(out_);
    RunOptions full;
    full.max_file_bytes = 8192;
    const Outcome stopped = run_program(words({"--tables", "3,5", "--json"}), full);
    EXPECT_EQ(stopped.exit_code, 7) << stopped.err;
    EXPECT_EQ(timeless(run({"--tables", "3,5", "--json"}).json()), whole);
}

TEST_F(Reproduce, TakesMoreTablesIntoTheSameFolder) {
    const std::string three = timeless(run({"--tables", "3", "--json"}).json());
    const std::string both = timeless(run({"--tables", "3,6", "--json"}).json());
    EXPECT_EQ(both.substr(0, three.size()), three);
    EXPECT_GT(both.size(), three.size());
}

TEST_F(Reproduce, AsksForACalibrationTextOnlyIfARowNeedsIt) {
    expect_failure(run({"--tables", "4"}), 2, {"--calib", "table 4"});
    EXPECT_FALSE(std::filesystem::exists(out_));
    expect_failure(run({"--tables", "4", "--calib", text_, "--calib-windows", "first"}), 2,
                   {"tokens", "32"});
    EXPECT_FALSE(std::filesystem::exists(out_));
}

TEST_F(Reproduce, CalibratedRowsEqualSeparateQuantizeAndPerplexityToo) {
    const Words calibration = {"--calib", text_, "--nsamples", "4", "--seed", "3"};
    Words flags = {"--tables", "8", "--json"};
    flags.insert(flags.end(), calibration.begin(), calibration.end());
    const io::Json json = run(flags).json();
    Words quantize = {"quantize",      model_,     dir_ / "q", "--recipe",
                      "quarot-random", "--seqlen", "16"};
    quantize.insert(quantize.end(), calibration.begin(), calibration.end());
    expect_success(run_program(quantize));
    const io::Json alone =
        run_program({"perplexity", dir_ / "q", "--text", text_, "--seqlen", "16", "--json"}).json();
    EXPECT_EQ(json.at("rows").as_array()[1].at("perplexity").as_double(),
              alone.at("perplexity").as_double());
    EXPECT_EQ(json.at("calibration").at("nsamples").as_int(), 4);
}

TEST_F(Reproduce, BeyondMeasuresTheStepsToTheBestRecipes) {
    std::filesystem::remove_all(model_);
    write_tiny_model(model_, {.hidden = 64, .ffn = 128, .head_dim = 16});  // whole groups
    const Outcome outcome =
        run({"--beyond", "--calib", text_, "--nsamples", "4", "--seeds", "1", "--json"});
    expect_success(outcome);
    const io::Json json = outcome.json();
    std::map<std::string, int> rows;
    for (const io::Json& row : json.at("rows").as_array()) {
        ++rows[row.at("recipe").as_string()];
        EXPECT_GT(row.at("perplexity").as_double(), 1.0) << row.dump();
        EXPECT_GE(row.at("kl").as_double(), 0.0) << row.dump();
        EXPECT_LE(row.at("same_top1").as_double(), 1.0) << row.dump();
    }
    EXPECT_EQ(rows["best4"], 1);
    EXPECT_EQ(rows["best4.5"], 1);
    EXPECT_EQ(rows["quarot+"], 1);
    EXPECT_EQ(rows["quarot"], rows["none"]);
    EXPECT_NE(report("report.md").find("## Beyond the paper"), std::string::npos);
}

TEST_F(Reproduce, BeyondHasRowsOfItsOwn) {
    const Words calibration = {"--beyond", "--calib", text_};
    const auto with = [&](const Words& flags) {
        Words all = calibration;
        all.insert(all.end(), flags.begin(), flags.end());
        return run(all);
    };
    expect_failure(with({"--tables", "3"}), 2, {"--beyond", "--tables"});
    expect_failure(with({"--rotate", "r1"}), 2, {"--beyond", "--rotate"});
    expect_failure(run({"--beyond"}), 2, {"--beyond", "--calib"});
    EXPECT_FALSE(std::filesystem::exists(out_));
}

TEST_F(Reproduce, RefusesWhatItCannotUnderstand) {
    expect_failure(run({"--tables", "14"}), 2, {"--tables", "14", "1, 2, 3, 4"});
    expect_failure(run({"--tables", "three"}), 2, {"--tables", "three"});
    expect_failure(run({"--tables", ""}), 2, {"--tables"});
    expect_failure(run_program({"reproduce", model_, "--out", out_}), 2, {"--text"});
    expect_failure(run_program({"reproduce", model_, "--text", text_}), 2, {"--out"});
    expect_failure(run({"--tables", "3", "--seqlen", "512"}), 2, {"512", "256"});
    EXPECT_FALSE(std::filesystem::exists(out_));
}

// Two tasks about letters that the tiny model knows.
class ReproduceTasks : public Reproduce {
  protected:
    void SetUp() override {
        Reproduce::SetUp();
        std::filesystem::create_directories(data_);
        std::ofstream(data_ + "/piqa.jsonl")
            << R"({"goal": "ab", "sol1": "cd", "sol2": "dc", "label": 0})"
            << "\n"
            << R"({"goal": "ba", "sol1": "c", "sol2": "ddd", "label": 1})"
            << "\n"
            << R"({"goal": "it was", "sol1": "dark", "sol2": "light", "label": 0})"
            << "\n";
        std::ofstream(data_ + "/lambada_openai.jsonl") << R"({"text": "a night of rain"})"
                                                       << "\n";
    }
    const std::string data_ = dir_ / "data";
};

TEST_F(ReproduceTasks, AccuraciesAreThoseOfEval) {
    const Outcome outcome = run({"--tables", "3", "--data", data_, "--json"});
    expect_success(outcome);
    EXPECT_NE(outcome.err.find("left out: "), std::string::npos) << "four tasks have no data";
    expect_success(run_program({"quantize", model_, dir_ / "q", "--recipe", "quarot-rtn"}));
    const io::Json eval = run_program({"eval", dir_ / "q", "--tasks", "piqa,lambada_openai",
                                       "--data", data_, "--json"})
                              .json();
    const io::Json json = outcome.json();
    const io::Json& row = json.at("rows").as_array()[1];
    for (const std::string task : {"piqa", "lambada_openai"}) {
        const io::Json& score = row.at("zero_shot").at(task);
        const io::Json& alone = eval.at("results").at(task);
        const std::string metric = score.at("metric").as_string();
        EXPECT_EQ(score.at("percent").as_double(), 100.0 * alone.at(metric).as_double()) << task;
        EXPECT_EQ(score.at("n").as_int(), alone.at("n").as_int()) << task;
    }
    EXPECT_TRUE(row.at("zero_shot_average").is_null()) << "of two tasks";
    EXPECT_EQ(row.at("paper_zero_shot_average").as_double(), 58.26);
    EXPECT_NE(report("report.md").find("Zero-shot accuracy, per cent"), std::string::npos);
    const std::string csv = report("report.csv");
    EXPECT_EQ(std::count(csv.begin(), csv.end(), '\n'), 1 + 3) << csv;
    expect_failure(run({"--tables", "3"}), 2, {out_, "accuracies", "--overwrite"});
}

TEST_F(ReproduceTasks, WithoutDataSaysThatAccuraciesAreLeftOut) {
    const Outcome outcome = run({"--tables", "3"});
    expect_success(outcome);
    EXPECT_NE(outcome.out.find("accuracies are left out"), std::string::npos) << outcome.out;
    EXPECT_NE(report("report.md").find("accuracies are left out"), std::string::npos);
    expect_success(run({"--tables", "3", "--data", data_, "--limit", "1"}));
    EXPECT_NE(report("report.csv").find(",quarot-rtn,"), std::string::npos);
    EXPECT_EQ(run({"--tables", "3,6", "--data", data_, "--limit", "1"}).exit_code, 0)
        << "more tables";
}

TEST_F(ReproduceTasks, RefusesDataThatIsNone) {
    expect_failure(run({"--tables", "3", "--data", dir_ / "none"}), 3, {"none", "piqa.jsonl"});
    std::ofstream(data_ + "/arc_easy.jsonl") << "{\"question\": 1\n";
    expect_failure(run({"--tables", "3", "--data", data_}), 5, {"arc_easy.jsonl:1"});
    expect_failure(run({"--tables", "3", "--limit", "2"}), 2, {"--limit", "--data"});
    EXPECT_FALSE(std::filesystem::exists(out_));
}

TEST_F(Reproduce, RepeatsRowsWithSeeds) {
    const io::Json json = run({"--tables", "3", "--seed", "4", "--seeds", "2", "--json"}).json();
    const io::Json& row = json.at("rows").as_array()[1];
    const io::Json::Array& seeds = row.at("seeds").as_array();
    ASSERT_EQ(seeds.size(), 2u);
    double sum = 0.0;
    for (const io::Json& seed : seeds) {
        const std::string number = std::to_string(seed.at("seed").as_int());
        expect_success(run_program({"quantize", model_, dir_ / "q", "--recipe", "quarot-rtn",
                                    "--seed", number, "--overwrite"}));
        const io::Json alone =
            run_program({"perplexity", dir_ / "q", "--text", text_, "--seqlen", "16", "--json"})
                .json();
        EXPECT_EQ(seed.at("perplexity").as_double(), alone.at("perplexity").as_double()) << number;
        sum += seed.at("perplexity").as_double();
    }
    EXPECT_DOUBLE_EQ(row.at("perplexity").as_double(), sum / 2.0);
    EXPECT_GT(row.at("perplexity_stddev").as_double(), 0.0);
    EXPECT_TRUE(json.at("rows").as_array()[0].at("perplexity_stddev").is_null());
    expect_failure(run({"--tables", "3", "--seed", "4"}), 2, {out_, "seeds", "--overwrite"});
    expect_failure(run({"--tables", "3", "--seeds", "0"}), 2, {"--seeds"});
    expect_failure(run({"--tables", "3", "--seed", "4294967295", "--seeds", "2"}), 2, {"--seeds"});
}

TEST_F(Reproduce, MeasuresEachRotationThatIsAskedFor) {
    const io::Json json =
        run({"--tables", "3", "--rotate", "none", "--rotate", "r1,r4", "--json"}).json();
    const io::Json::Array& rows = json.at("rows").as_array();
    ASSERT_EQ(rows.size(), 1u + 2u * 2u);
    EXPECT_TRUE(rows[0].at("rotate").is_null()) << "full precision";
    for (const size_t i : {size_t{1}, size_t{2}}) {
        const std::string rotate = rows[i].at("rotate").as_string();
        EXPECT_EQ(rotate, i == 1 ? "none" : "r1,r4");
        EXPECT_TRUE(rows[i].at("paper").is_null()) << "not the paper's row";
        expect_success(run_program({"quantize", model_, dir_ / "q", "--recipe", "quarot-rtn",
                                    "--rotate", rotate, "--overwrite"}));
        const io::Json alone =
            run_program({"perplexity", dir_ / "q", "--text", text_, "--seqlen", "16", "--json"})
                .json();
        EXPECT_EQ(rows[i].at("perplexity").as_double(), alone.at("perplexity").as_double());
    }
    expect_failure(run({"--tables", "3", "--rotate", "r9"}), 2, {"--rotate", "r9"});
    expect_failure(run({"--tables", "3", "--rotate", "none"}), 2, {out_, "table 3"});
}

TEST_F(Reproduce, PutsAnR1FromAFileInThePlaceOfTheHadamard) {
    write_r1(dir_ / "r1", 1.0f);
    const Words flags = {"--tables", "3", "--r1", dir_ / "r1"};
    Words with_json = flags;
    with_json.push_back("--json");
    const io::Json json = run(with_json).json();
    const io::Json& row = json.at("rows").as_array()[1];
    EXPECT_TRUE(row.at("paper").is_null()) << "not the paper's rotation";
    EXPECT_EQ(json.at("r1").at("file").as_string(), dir_ / "r1");
    expect_success(run_program(
        {"quantize", model_, dir_ / "q", "--recipe", "quarot-rtn", "--r1", dir_ / "r1"}));
    const io::Json alone =
        run_program({"perplexity", dir_ / "q", "--text", text_, "--seqlen", "16", "--json"}).json();
    EXPECT_EQ(row.at("perplexity").as_double(), alone.at("perplexity").as_double());
    expect_success(run(flags));
    expect_failure(run({"--tables", "3"}), 2, {out_, "another R1", "--overwrite"});
    Words nothing = flags;
    nothing.insert(nothing.end(), {"--rotate", "r2", "--overwrite"});
    expect_failure(run(nothing), 2, {"--r1", "no row has one"});
}

TEST_F(Reproduce, RefusesAFolderOfAnotherTextAndKeepsIt) {
    expect_success(run({"--tables", "3"}));
    const std::string before = report("report.json");
    std::ofstream(text_, std::ios::app) << " One more sentence.";
    expect_failure(run({"--tables", "3"}), 2, {out_, "text", "--overwrite"});
    EXPECT_EQ(report("report.json"), before);
    expect_success(run({"--tables", "3", "--overwrite"}));
    EXPECT_NE(report("report.json"), before);
}

TEST_F(Reproduce, ReplacesNoReportOfAnotherCalibrationOrOfMoreTables) {
    const Words eight = {"--tables", "8", "--calib", text_, "--nsamples", "4"};
    expect_success(run(eight));
    const std::string before = report("report.json");
    Words other = eight;
    other.back() = "5";
    expect_failure(run(other), 2, {out_, "nsamples 4", "has 5", "--overwrite"});
    expect_failure(run({"--tables", "3"}), 2, {out_, "table 8", "--overwrite"});
    Words seed = eight;
    seed.insert(seed.end(), {"--seed", "2"});
    expect_failure(run(seed), 2, {out_, "seed 0", "has 2"});
    EXPECT_EQ(report("report.json"), before);
    expect_success(run(eight));
    other.push_back("--overwrite");
    expect_success(run(other));
    EXPECT_NE(report("report.json"), before);
}

// Off a terminal: who reads the log wants to know what is done, by name.
TEST_F(Reproduce, TellsOneLineARow) {
    const std::string err = run({"--tables", "3,6"}).err;
    EXPECT_EQ(std::count(err.begin(), err.end(), '\n'), 1 + 3 + 10) << err;
    EXPECT_EQ(err.find("window"), std::string::npos) << err;
}

TEST_F(Reproduce, ItsTableFitsAnOrdinaryTerminal) {
    const std::string out = run({"--calib", text_, "--nsamples", "2", "--windows", "1"}).out;
    std::istringstream lines(out);
    for (std::string line; std::getline(lines, line);) {
        if (line.starts_with("report")) continue;  // a path
        EXPECT_LE(line.size(), 80u) << line;
    }
}

TEST_F(Reproduce, WantsAModelThatIsNotQuantizedYet) {
    expect_success(run_program({"quantize", model_, dir_ / "q", "--recipe", "quarot-rtn"}));
    expect_failure(run_program({"reproduce", dir_ / "q", "--text", text_, "--seqlen", "16", "--out",
                                out_, "--tables", "3"}),
                   4, {"already", "quarot-rtn"});
}

}  // namespace
}  // namespace quarot::test
