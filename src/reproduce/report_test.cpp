#include "reproduce/report.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>

#include "core/expect_error.h"

namespace quarot::reproduce {
namespace {

MeasuredRow measured(const PaperRow& paper, double perplexity) {
    MeasuredRow row;
    row.plan.paper = paper;
    row.plan.recipe = named_recipe("quarot-rtn");
    row.measurement.emplace();
    row.measurement->perplexity = perplexity;
    row.measurement->bits_per_weight = 4.5;
    row.measurement->quantize_seconds = 2.0;
    row.measurement->perplexity_seconds = 1.0;
    row.measurement->peak_rss_bytes = 123'000'000;
    row.seeds = {{.seed = 0, .text = *row.measurement, .tasks = {}}};
    return row;
}

Results sample() {
    Results results;
    results.full_precision.perplexity = 20.0;
    results.rows.push_back(measured({1, "A", "quarot", 6.0}, 30.0));
    results.rows.push_back(measured({1, "B", "rtn", 8.0}, 25.0));
    results.rows.push_back({.plan = {.paper = {7, "C", "atom", std::nullopt, "the paper has NaN"},
                                     .recipe = {},
                                     .reason = "no | such"}});
    return results;
}

ReportHeader header() {
    ReportHeader header;
    header.version = "1.2";
    header.model = "models/m";
    header.note = "Remark *of mine*.";
    header.text = "t.txt";
    header.windows = 3;
    header.seqlen = 16;
    return header;
}

bool contains(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

TEST(Report, JsonHasEveryKeyOnEveryRow) {
    io::Json json;
    add_report(json, header(), sample());
    const io::Json::Array& rows = json.at("rows").as_array();
    ASSERT_EQ(rows.size(), 3u);
    for (const io::Json& row : rows) {
        for (const char* key : {"table",
                                "row",
                                "recipe",
                                "precision",
                                "perplexity",
                                "relative",
                                "bits_per_value",
                                "activation_bits_per_value",
                                "kv_bits_per_value",
                                "seconds",
                                "quantize_seconds",
                                "perplexity_seconds",
                                "peak_rss_bytes",
                                "paper",
                                "paper_relative",
                                "reason",
                                "rotate",
                                "perplexity_stddev",
                                "seeds",
                                "zero_shot",
                                "zero_shot_average",
                                "zero_shot_average_stddev",
                                "paper_zero_shot_average",
                                "paper_model"}) {
            EXPECT_TRUE(row.contains(key)) << key;
        }
    }
    EXPECT_EQ(rows[0].at("relative").as_double(), 1.5);
    EXPECT_EQ(rows[0].at("seconds").as_double(), 3.0);
    EXPECT_EQ(rows[0].at("precision").as_string(), "W4A4KV4");
    EXPECT_EQ(rows[2].at("reason").as_string(), "no | such");
    EXPECT_TRUE(rows[2].at("perplexity").is_null());
    EXPECT_TRUE(rows[2].at("paper").is_null());
    EXPECT_TRUE(json.at("calibration").is_null());
    EXPECT_EQ(json.at("order_of_methods").at("swaps").as_array().size(), 1u);
}

TEST(Report, MarkdownHasATableForEachThatWasMeasured) {
    const std::string text = markdown_report(header(), sample());
    EXPECT_TRUE(contains(text, "Remark *of mine*."));
    EXPECT_TRUE(contains(text, "3 windows of 16 tokens"));
    EXPECT_TRUE(contains(text, "## Table 1: "));
    EXPECT_TRUE(contains(text, "## Table 7: "));
    EXPECT_FALSE(contains(text, "## Table 3: "));
    EXPECT_TRUE(contains(text,
                         "| A | `quarot` | W4A4KV4 | 4.50 | 16.00 | 16.00 | 30.0000 | 1.500 "
                         "| 6.00 | 1.097 | 3.0 | 123 MB |"))
        << text;
    EXPECT_TRUE(contains(text, "* C: not available: no | such\n* C: the paper has NaN\n"));
}

// Two rows of Table 3 with three tasks, two of them also with a figure of the paper's.
Results with_accuracies() {
    Results results;
    results.full_precision.perplexity = 20.0;
    for (const char* recipe : {"none", "quarot-rtn"}) {
        MeasuredRow row = measured({3, recipe, recipe, 6.0}, 30.0);
        for (const eval::Task& task : eval::tasks()) {
            row.tasks.push_back({.task = std::string(task.name),
                                 .metric = "acc",
                                 .percent = 40.0,
                                 .percent_error = 1.5,
                                 .n = 7});
        }
        row.seeds.front().tasks = row.tasks;
        results.rows.push_back(row);
    }
    return results;
}

TEST(Report, HasAccuraciesBesideThePapers) {
    const Results results = with_accuracies();
    ReportHeader with_data = header();
    with_data.data = "tasks";
    with_data.task_limit = 7;
    const std::string text = markdown_report(with_data, results);
    EXPECT_TRUE(contains(text, "the first 7 items of each"));
    EXPECT_TRUE(contains(text, "| row | piqa | winogrande | hellaswag | arc_easy |")) << text;
    EXPECT_TRUE(contains(text, "| quarot-rtn | 40.00 ± 1.50 (72.09) | 40.00 ± 1.50 (60.69) |"));
    EXPECT_TRUE(contains(text, "| 40.00 (58.26) |"));
    EXPECT_FALSE(contains(text, "left out"));
    io::Json json;
    add_report(json, with_data, results);
    const io::Json& row = json.at("rows").as_array()[1];
    const io::Json& piqa = row.at("zero_shot").at("piqa");
    EXPECT_EQ(piqa.at("percent").as_double(), 40.0);
    EXPECT_EQ(piqa.at("percent_stderr").as_double(), 1.5);
    EXPECT_EQ(piqa.at("paper").as_double(), 72.09);
    EXPECT_EQ(piqa.at("n").as_int(), 7);
    EXPECT_EQ(row.at("zero_shot_average").as_double(), 40.0);
    EXPECT_EQ(row.at("paper_zero_shot_average").as_double(), 58.26);
    EXPECT_EQ(json.at("zero_shot").at("limit").as_int(), 7);
}

TEST(Report, SaysWhyAccuraciesAreLeftOut) {
    Results results = sample();
    EXPECT_TRUE(contains(markdown_report(header(), results), "accuracies are left out."));
    ReportHeader with_data = header();
    with_data.data = "tasks";
    with_data.missing_tasks = {"tasks has no data of hellaswag"};
    EXPECT_TRUE(contains(markdown_report(with_data, results), "no data of hellaswag"));
    results.rows.erase(results.rows.begin(), results.rows.begin() + 2);  // of Table 1
    EXPECT_FALSE(contains(markdown_report(header(), results), "accuracies"));
}

TEST(Report, ShowsMeanAndSpreadOfSeeds) {
    Results results = sample();
    MeasuredRow& row = results.rows.front();
    row.seeds.push_back(row.seeds.front());
    row.seeds.back().seed = 1;
    row.seeds.back().text.perplexity = 32.0;
    row.measurement = together(row.seeds);
    ReportHeader header_of_two = header();
    header_of_two.n_seeds = 2;
    const std::string text = markdown_report(header_of_two, results);
    EXPECT_TRUE(contains(text, "2 seeds from 0 on"));
    EXPECT_TRUE(contains(text, "| 31.0000 ± 1.4142 |")) << text;
    io::Json json;
    add_report(json, header_of_two, results);
    const io::Json& of_row = json.at("rows").as_array()[0];
    EXPECT_EQ(of_row.at("perplexity").as_double(), 31.0);
    EXPECT_NEAR(of_row.at("perplexity_stddev").as_double(), 1.4142, 1e-4);
    EXPECT_EQ(of_row.at("seeds").as_array()[1].at("perplexity").as_double(), 32.0);
}

TEST(Report, ComparesNothingWithThePaperWhereARowIsNotThePapers) {
    Results results = sample();
    results.rows.front().plan.rotate = "r1,r4";
    results.rows.front().plan.is_papers = false;
    io::Json json;
    add_report(json, header(), results);
    EXPECT_TRUE(json.at("rows").as_array()[0].at("paper").is_null());
    EXPECT_EQ(json.at("rows").as_array()[0].at("rotate").as_string(), "r1,r4");
    EXPECT_TRUE(contains(markdown_report(header(), results), "| A, rotate r1,r4 | `quarot` |"));
    EXPECT_TRUE(table_1_order(results).swaps.empty()) << "one method is left";
}

TEST(Report, SaysNothingOfThePaperBesideLadders) {
    Results results = with_accuracies();
    for (MeasuredRow& row : results.rows) {
        row.plan.paper.table = 0;
        row.plan.paper.paper = std::nullopt;
        row.plan.is_papers = false;
        row.plan.ladder = 2;
    }
    io::Json json;
    add_report(json, header(), results);
    const io::Json& row = json.at("rows").as_array()[1];
    EXPECT_EQ(row.at("beyond").as_int(), 2);
    for (const char* key : {"table", "paper", "paper_model", "paper_zero_shot_average"}) {
        EXPECT_TRUE(row.at(key).is_null()) << key;
    }
    EXPECT_TRUE(row.at("zero_shot").at("piqa").at("paper").is_null());
    const std::string csv = csv_report(results);
    EXPECT_TRUE(contains(csv, "\n,quarot-rtn,,quarot-rtn,W4A4KV4,1,30,,1.5,,,,2,")) << csv;
    EXPECT_FALSE(contains(csv, "Llama"));
    const std::string text = markdown_report(header(), results);
    EXPECT_TRUE(contains(text, "## Beyond the paper: one scale a token")) << text;
    EXPECT_FALSE(contains(text, "(72.09)"));
    std::vector<PlannedRow> rows = {results.rows[0].plan, results.rows[1].plan};
    for (PlannedRow& planned : rows) planned.seeds = {0};
    ReportHeader with_data = header();
    with_data.data = "tasks";
    EXPECT_NO_THROW(check_report_grows(json, with_data, rows));
    rows[1].ladder = 1;
    expect_error(ErrorCode::Usage, {"row quarot-rtn of beyond 2"},
                 [&] { check_report_grows(json, with_data, rows); });
}

TEST(Report, CsvHasALineOfEqualColumnsForEachRow) {
    Results results = with_accuracies();
    results.rows.push_back(sample().rows.back());
    results.rows.back().plan.reason = "no, \"such\"";
    std::istringstream lines(csv_report(results));
    std::vector<std::string> rows;
    for (std::string line; std::getline(lines, line);) rows.push_back(line);
    ASSERT_EQ(rows.size(), 4u);
    EXPECT_TRUE(rows[0].starts_with("table,row,rotate,recipe,precision,seeds,perplexity,"));
    EXPECT_TRUE(contains(rows[0], ",piqa,piqa_stderr,piqa_paper,"));
    EXPECT_TRUE(rows[2].starts_with("3,quarot-rtn,,quarot-rtn,W4A4KV4,1,30,,1.5,6,")) << rows[2];
    EXPECT_TRUE(contains(rows[2], ",40,1.5,72.09,"));
    EXPECT_TRUE(rows[3].ends_with(",\"no, \"\"such\"\"\"\r")) << rows[3];
    const auto n_columns = std::count(rows[0].begin(), rows[0].end(), ',');
    EXPECT_EQ(std::count(rows[1].begin(), rows[1].end(), ','), n_columns);
    EXPECT_EQ(std::count(rows[2].begin(), rows[2].end(), ','), n_columns);
    EXPECT_EQ(std::count(rows[3].begin(), rows[3].end(), ','), n_columns + 1) << "one is quoted";
}

TEST(CheckReportGrows, RefusesToLoseAccuraciesSeedsOrRotations) {
    ReportHeader with_data = header();
    with_data.data = "tasks";
    const Results results = with_accuracies();
    io::Json there;
    add_report(there, with_data, results);
    std::vector<PlannedRow> rows;
    for (const MeasuredRow& row : results.rows) rows.push_back(row.plan);
    for (PlannedRow& row : rows) row.seeds = {0};
    EXPECT_NO_THROW(check_report_grows(there, with_data, rows));
    const auto refuse = [&](const ReportHeader& now, const std::string& words) {
        expect_error(ErrorCode::Usage, {words}, [&] { check_report_grows(there, now, rows); });
    };
    refuse(header(), "accuracies");
    ReportHeader limited = with_data;
    limited.task_limit = 3;
    refuse(limited, "limit null, and this run has 3");
    ReportHeader other_r1 = with_data;
    other_r1.r1_sha256 = "ab";
    refuse(other_r1, "another R1");
    rows[1].rotate = "r1";
    refuse(with_data, "table 3");
    rows[1].rotate = "";
    rows[1].seeds.clear();
    refuse(with_data, "1 seeds, and this run has 0");
}

TEST(Report, TellsWhereTheOrderOfMethodsDiffers) {
    const std::string text = markdown_report(header(), sample());
    EXPECT_TRUE(contains(text, "## Order of methods"));
    EXPECT_TRUE(contains(text, "Here: B, A. In the paper: A, B."));
    EXPECT_TRUE(
        contains(text,
                 "B is ahead of A here (25.0000 at 4.50 bits a weight against 30.0000 at 4.50), "
                 "behind it in "
                 "the paper (8.00 against 6.00); with 0 windows this is too close to call."));
}

TEST(Report, SaysWhenTheModelFavoursUnrotatedMethods) {
    ReportHeader on_grids = header();
    on_grids.on_4_bit_grids = true;
    EXPECT_TRUE(contains(markdown_report(on_grids, sample()), "come from 4-bit codes: "));
    EXPECT_TRUE(contains(markdown_report(on_grids, sample()), "favour unrotated methods"));
    EXPECT_FALSE(contains(markdown_report(header(), sample()), "4-bit codes"));
}

TEST(Report, SaysSoWhereTheOrderIsThePapers) {
    Results results = sample();
    results.rows[0].measurement->perplexity = 21.0;
    EXPECT_TRUE(contains(markdown_report(header(), results), "The order is the paper's."));
}

TEST(Report, SpellsPrecisionWithKAndVApartWhereTheyDiffer) {
    EXPECT_EQ(precision(named_recipe("k4v3")), "W16A16K4V3");
    EXPECT_EQ(precision(full_precision_recipe()), "W16A16KV16");
}

}  // namespace
}  // namespace quarot::reproduce
