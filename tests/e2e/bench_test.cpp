// quarot bench on a small folder and on small parts of shapes: what is measured, and what refused.
#include <gtest/gtest.h>

#include <tuple>

#include "e2e/expectations.h"
#include "e2e/program.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"

namespace quarot::test {
namespace {

class Bench : public testing::Test {
  protected:
    void SetUp() override { write_tiny_model(model_); }

    const TempDir dir_;
    const std::string model_ = dir_ / "model";
};

TEST_F(Bench, TheSameShapeIn16BitsGivesARatio) {
    const Outcome outcome =
        run_program({"bench", model_, "-p", "5", "-n", "3", "-r", "1", "--with-16bit", "--json"});
    expect_success(outcome);
    const io::Json json = outcome.json();
    for (const io::Json& row : json.at("rows").as_array()) {
        EXPECT_GT(row.at("ratio_to_16bit").as_double(), 0.0);
    }
    const Outcome table =
        run_program({"bench", model_, "-p", "5", "-n", "0", "-r", "1", "--with-16bit"});
    EXPECT_NE(table.out.find("x 16 bits"), std::string::npos) << table.out;
}

TEST_F(Bench, RanksShareAFolder) {
    const Outcome outcome =
        run_program({"bench", model_, "--tp", "2", "-p", "5", "-n", "0", "-r", "1", "--json"});
    expect_success(outcome);
    const io::Json json = outcome.json();
    EXPECT_EQ(json.at("rows").as_array().front().at("ranks").as_int(), 2);
    expect_failure(run_program({"bench", model_, "--tp", "2", "--ops"}), 2,
                   {"--tp 2 is given with --ops"});
}

TEST_F(Bench, EveryTestOfAFolderIsARow) {
    const Outcome outcome = run_program({"bench", model_, "-p", "5", "-n", "3,2", "-d", "0,4", "-b",
                                         "2", "-r", "2", "-t", "1", "--json"});
    expect_success(outcome);
    const io::Json json = outcome.json();
    expect_document(json, "bench", {"rows"});
    std::vector<std::tuple<std::string, int64_t>> tests;
    for (const io::Json& row : json.at("rows").as_array()) {
        tests.emplace_back(row.at("test").as_string(), row.at("depth").as_int());
        EXPECT_EQ(row.at("batch").as_int(), 2);
        EXPECT_EQ(row.at("threads").as_int(), 1);
        EXPECT_EQ(row.at("device").as_string(), "cpu");
        EXPECT_EQ(row.at("recipe").as_string(), "none");
        EXPECT_EQ(row.at("model").as_string(), model_);
        EXPECT_EQ(row.at("layers").as_int(), 2);
        EXPECT_GT(row.at("tokens_per_second").as_double(), 0.0);
        EXPECT_GE(row.at("stddev").as_double(), 0.0);
    }
    EXPECT_EQ(tests, (std::vector<std::tuple<std::string, int64_t>>{
                         {"pp5", 0}, {"tg3", 0}, {"tg2", 0}, {"pp5", 4}, {"tg3", 4}, {"tg2", 4}}));
}

TEST_F(Bench, PrintsATableForPeople) {
    const Outcome outcome =
        run_program({"bench", model_, "-p", "4", "-n", "0", "-r", "1", "-t", "1"});
    expect_success(outcome);
    EXPECT_TRUE(outcome.out.starts_with("test  depth  batch ")) << outcome.out;
    EXPECT_NE(outcome.out.find("\npp4       0      1 "), std::string::npos) << outcome.out;
    EXPECT_EQ(outcome.out.find("tg"), std::string::npos) << outcome.out;
    EXPECT_NE(outcome.err.find("recipe none"), std::string::npos) << outcome.err;
}

TEST_F(Bench, AShapeNeedsNoFile) {
    const Outcome outcome =
        run_program({"bench", "--shape", "smollm2-135m", "--layers", "2", "--recipe", "w4a8kv4",
                     "-p", "4", "-n", "1", "-r", "1", "-t", "1", "--json"});
    expect_success(outcome);
    const io::Json document = outcome.json();
    const auto& rows = document.at("rows").as_array();
    ASSERT_EQ(rows.size(), 2u);
    EXPECT_EQ(rows[0].at("model").as_string(), "smollm2-135m");
    EXPECT_EQ(rows[0].at("layers").as_int(), 2);
    EXPECT_EQ(rows[0].at("recipe").as_string(), "w4a8kv4");
    EXPECT_EQ(rows[0].at("stddev").as_double(), 0.0);
    EXPECT_NE(outcome.err.find("random weights of the shape smollm2-135m"), std::string::npos)
        << outcome.err;
}

TEST_F(Bench, AFoldersShapeRunsInAnyRecipe) {
    const Outcome outcome =
        run_program({"bench", model_, "--recipe", "quarot-rtn", "--layers", "1", "-p", "4", "-n",
                     "2", "-r", "1", "-t", "1", "--device", "reference", "--json"});
    expect_success(outcome);
    const io::Json row = outcome.json().at("rows").as_array().front();
    EXPECT_EQ(row.at("recipe").as_string(), "quarot-rtn");
    EXPECT_EQ(row.at("device").as_string(), "reference");
    EXPECT_EQ(row.at("layers").as_int(), 1);
    EXPECT_NE(outcome.err.find("random weights of the shape " + model_), std::string::npos)
        << outcome.err;
}

TEST_F(Bench, RunTimeFlagsKeepAFoldersWeights) {
    const Outcome outcome = run_program(
        {"bench", model_, "--kv-bits", "4", "-p", "4", "-n", "0", "-r", "1", "-t", "1"});
    expect_success(outcome);
    EXPECT_NE(outcome.err.find("recipe none W16A16K4V4"), std::string::npos) << outcome.err;
    EXPECT_EQ(outcome.err.find("random weights"), std::string::npos) << outcome.err;
}

TEST_F(Bench, OperationsStandBesideThemselvesIn16Bits) {
    const Outcome outcome =
        run_program({"bench", model_, "--recipe", "quarot-rtn", "--ops", "-p", "0", "-n", "1", "-d",
                     "40", "-b", "3", "-r", "1", "-t", "1", "--json"});
    expect_success(outcome);
    const io::Json json = outcome.json();
    expect_document(json, "bench", {"operations", "probes"});
    EXPECT_GT(json.at("probes").at("copy_bytes_per_second").as_double(), 0.0);
    std::vector<std::string> names;
    for (const io::Json& row : json.at("operations").as_array()) {
        names.push_back(row.at("operation").as_string());
        EXPECT_EQ(row.at("tokens").as_int(), 3);
        EXPECT_EQ(row.at("depth").as_int(), 40);
        EXPECT_EQ(row.at("recipe").as_string(), "quarot-rtn");
        EXPECT_GT(row.at("seconds").as_double(), 0.0);
        EXPECT_GT(row.at("bytes_per_second").as_double(), 0.0);
        EXPECT_EQ(row.contains("ratio_to_16bit"), names.back() != "head mix");
    }
    EXPECT_EQ(names,
              (std::vector<std::string>{"norm", "q, k, v", "RoPE, cache", "attention", "head mix",
                                        "o", "gate, up", "SwiGLU", "down", "head"}));
}

TEST_F(Bench, OperationsOfAFolderAreATableForPeople) {
    const Outcome outcome =
        run_program({"bench", model_, "--ops", "-p", "4", "-n", "0", "-r", "1", "-t", "1"});
    expect_success(outcome);
    EXPECT_TRUE(outcome.out.starts_with("copy: ")) << outcome.out;
    EXPECT_NE(outcome.out.find("\noperation  "), std::string::npos) << outcome.out;
    EXPECT_NE(outcome.out.find("\ngate, up "), std::string::npos) << outcome.out;
    EXPECT_NE(outcome.err.find("recipe none"), std::string::npos) << outcome.err;
}

TEST_F(Bench, ThePapersTablesStandBesideThePaper) {
    const std::vector<std::string> small = {
        "bench", "--paper", "--shape",  "smollm2-135m", "--layers", "1",  "-p",
        "4",     "-d",      "4",        "-b",           "2",        "-r", "1",
        "-t",    "1",       "--recipe", "quarot-rtn"};
    std::vector<std::string> as_json = small;
    as_json.push_back("--json");
    const Outcome outcome = run_program(as_json);
    expect_success(outcome);
    const io::Json json = outcome.json();
    expect_document(json, "bench", {"rows", "device", "recipe"});
    std::vector<std::string> rows;
    for (const io::Json& row : json.at("rows").as_array()) {
        const io::Json& table = row.at("table");
        rows.push_back((table.is_null() ? "-" : std::to_string(table.as_int())) + " " +
                       row.at("row").as_string());
        EXPECT_GT(row.at("ratio_to_16bit").as_double(), 0.0);
        EXPECT_TRUE(row.at("paper").is_null());
    }
    EXPECT_EQ(rows, (std::vector<std::string>{"14 576 x 576", "14 576 x 1536", "15 9 heads of 64",
                                              "16 prefill of a block", "- decoding of a block",
                                              "17 memory of a block"}));
    const Outcome text = run_program(small);
    expect_success(text);
    EXPECT_TRUE(text.out.starts_with("Table 14: ")) << text.out;
    for (const char* title : {"\nTable 15: ", "\nTable 16, figure 4: ", "\nTable 17, figure 4: "}) {
        EXPECT_NE(text.out.find(title), std::string::npos) << text.out;
    }
}

TEST_F(Bench, WhatCannotBeMeasuredIsRefused) {
    expect_failure(run_program({"bench", model_, "--ops", "--paper"}), 2, {"--ops and --paper"});
    expect_failure(run_program({"bench", model_, "--paper"}), 2, {"--paper", "--shape"});
    expect_failure(run_program({"bench"}), 2, {"-m", "--shape"});
    expect_failure(run_program({"bench", model_, "--shape", "llama-2-7b"}), 2,
                   {model_, "llama-2-7b", "expected one of them"});
    expect_failure(run_program({"bench", "--shape", "llama-9"}), 2, {"llama-9", "llama-2-70b"});
    expect_failure(run_program({"bench", "--shape", "smollm2-135m", "--layers", "31"}), 2,
                   {"--layers is 31", "smollm2-135m has 30"});
    expect_failure(run_program({"bench", model_, "--layers", "1"}), 2, {"--layers", "--shape"});
    expect_failure(run_program({"bench", model_, "-p", "0", "-n", "0"}), 2,
                   {"--prompt-tokens", "--new-tokens"});
    expect_failure(run_program({"bench", model_, "-p", "4,,8"}), 2, {"--prompt-tokens is ''"});
    expect_failure(run_program({"bench", model_, "-d", "1000000", "-n", "1", "-p", "0"}), 2,
                   {"1000001 positions"});
    expect_failure(run_program({"bench", "--shape", "smollm2-135m", "--recipe", "quik-4b"}), 4,
                   {"quik-4b"});
}

TEST_F(Bench, AModelWithoutRoomIsToldWhatItNeeds) {
    const Outcome outcome = run_program({"bench", "--shape", "llama-2-70b", "--recipe",
                                         "quarot-rtn", "-d", "16000000", "-b", "1024"});
    expect_failure(outcome, 6, {"llama-2-70b needs", "TB of memory", "are available", "--depth"});
}

}  // namespace
}  // namespace quarot::test
