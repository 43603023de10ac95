#include "reproduce/report.h"

#include <gtest/gtest.h>

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
    return row;
}

Results sample() {
    Results results;
    results.full_precision.perplexity = 20.0;
    results.rows.push_back(measured({1, "A", "quarot", 6.0}, 30.0));
    results.rows.push_back(measured({1, "B", "rtn", 8.0}, 25.0));
    results.rows.push_back(
        {{{7, "C", "atom", std::nullopt, "the paper has NaN"}, {}, "no | such"}, std::nullopt});
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
        for (const char* key :
             {"table", "row", "recipe", "precision", "perplexity", "relative", "bits_per_value",
              "activation_bits_per_value", "kv_bits_per_value", "seconds", "quantize_seconds",
              "perplexity_seconds", "peak_rss_bytes", "paper", "paper_relative", "reason"}) {
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
