// Is every document read as its command writes it, and every other file refused by name?
#include "plot/document.h"

#include <gtest/gtest.h>

#include <fstream>

#include "core/expect_error.h"
#include "support/temp_dir.h"

namespace quarot::plot {
namespace {

constexpr const char* kSpread =
    R"({"rows": 2, "rms": 1.5, "row_kurtosis": 3, "row_sqnr_db": null, "kurtosis": 3.5, "max_to_median": null, "sqnr_db": 18.5,
        "max_to_rms": {"mean": 2.5}, "channels": {"min": [-1, -2], "p1": [-1, -2],
        "p25": [0, 0], "p75": [0, 0], "p99": [1, 2], "max": [1, 2]}})";

class PlotDocument : public testing::Test {
  protected:
    std::string write(const std::string& text) const {
        const std::string file = dir_ / "document.json";
        std::ofstream(file, std::ios::binary) << text;
        return file;
    }
    Documents read(const std::string& text) const { return read_documents({write(text)}); }

    std::string stats(const std::string& points) const {
        return R"({"schema": "quarot.stats/1", "model": "m", "recipe": "quarot",
                   "rotation": "R1", "tokens": 9, "points": [)" +
               points + R"(], "weights": []})";
    }
    std::string point(const std::string& name, const std::string& before,
                      const std::string& n_channels = "2") const {
        return R"({"layer": 1, "point": ")" + name + R"(", "channels": )" + n_channels +
               R"(, "bits": 4, "before": )" + before + R"(, "after": null})";
    }
    void expect_refused(ErrorCode code, const std::string& text, std::vector<std::string> words) {
        words.emplace_back("document.json");
        expect_error(code, words, [&] { read(text); });
    }

    const test::TempDir dir_;
};

TEST_F(PlotDocument, StatsAreReadWithWhatIsMissing) {
    const Documents documents = read(stats(point("down_in", kSpread)));
    ASSERT_EQ(documents.stats.size(), 1u);
    const Place& place = documents.stats[0].places.at(0);
    EXPECT_EQ(place.name, "down_in");
    EXPECT_EQ(place.layer, 1);
    EXPECT_EQ(place.before->kurtosis, 3.5);
    EXPECT_FALSE(place.before->max_to_median.has_value());
    EXPECT_EQ(place.before->bands.p99, (std::vector<double>{1.0, 2.0}));
    EXPECT_FALSE(place.after.has_value());
}

TEST_F(PlotDocument, BadStatsAreRefusedByPlace) {
    expect_refused(ErrorCode::Corrupt, stats(point("down_in", kSpread, "3")),
                   {"channels.min", "2 numbers", "3"});
    expect_refused(ErrorCode::Corrupt, stats(point("../../etc", kSpread)), {"points[0].point"});
    expect_refused(ErrorCode::Corrupt, stats(point("down_in", "null")), {"before", "after"});
    expect_refused(ErrorCode::Corrupt, stats(point("down_in", "7")), {"before"});
    expect_refused(ErrorCode::Corrupt, stats("7"), {"points[0]"});
    std::string huge = kSpread;
    huge.replace(huge.find("[-1, -2]"), 8, "[-1, 1e300]");
    expect_refused(ErrorCode::Corrupt, stats(point("down_in", huge)), {"1e+300", "F32"});
    expect_refused(ErrorCode::Corrupt, R"({"schema": "quarot.stats/1", "model": "m"})", {"recipe"});
}

TEST_F(PlotDocument, FiguresThatNoPlaceCanHaveAreRefused) {
    const auto refused = [&](const std::string& old, const std::string& now,
                             const std::string& word) {
        std::string spread = kSpread;
        spread.replace(spread.find(old), old.size(), now);
        expect_refused(ErrorCode::Corrupt, stats(point("down_in", spread)), {word});
    };
    refused("\"rms\": 1.5", "\"rms\": 1e-300", "rms");
    refused("\"rms\": 1.5", "\"rms\": -1", "rms");
    refused("\"kurtosis\": 3.5", "\"kurtosis\": 1e308", "kurtosis");
    refused("\"row_kurtosis\": 3", "\"row_kurtosis\": -3", "row_kurtosis");
    refused("\"max_to_median\": null", "\"max_to_median\": 1e300", "max_to_median");
    refused("\"sqnr_db\": 18.5", "\"sqnr_db\": -1e308", "sqnr_db");
    refused("\"row_sqnr_db\": null", "\"row_sqnr_db\": 1e308", "row_sqnr_db");
    refused("\"mean\": 2.5", "\"mean\": 1e308", "mean");
}

TEST_F(PlotDocument, NothingIsThereTwice) {
    const std::string place = point("down_in", kSpread);
    expect_refused(ErrorCode::Corrupt, stats(place + "," + place),
                   {"points", "down_in of layer 1", "twice"});
    EXPECT_EQ(read(stats(place + "," + point("mlp_in", kSpread))).stats[0].places.size(), 2u);
    const auto row = [](int table) {
        return R"({"row": "r", "recipe": "r", "table": )" + std::to_string(table) + "}";
    };
    const auto rows = [&](int last) {
        return R"({"schema": "quarot.reproduce/1", "model": "m", "text": "t", "rows": [)" + row(1) +
               "," + row(2) + "," + row(last) + "]}";
    };
    EXPECT_EQ(read(rows(2)).reproductions[0].tables.size(), 2u);
    expect_refused(ErrorCode::Corrupt, rows(1), {"rows[2]", "table 1"});
}

TEST_F(PlotDocument, OtherFilesAreRefusedByName) {
    expect_refused(ErrorCode::Corrupt, "", {});
    expect_refused(ErrorCode::Corrupt, "no JSON", {});
    const std::string whole = stats(point("down_in", kSpread));
    expect_refused(ErrorCode::Corrupt, whole.substr(0, whole.size() / 2), {});
    expect_refused(ErrorCode::Corrupt, "[1, 2]", {"schema"});
    expect_refused(ErrorCode::Corrupt, R"({"rows": []})", {"schema"});
    expect_refused(ErrorCode::Corrupt, R"({"schema": 3})", {"schema"});
    expect_refused(ErrorCode::Unsupported, R"({"schema": "quarot.eval/1"})",
                   {"quarot.eval/1", "quarot.bench/1"});
    expect_refused(ErrorCode::Unsupported, R"({"schema": "quarot.stats/2"})", {"quarot.stats/2"});
    expect_error(ErrorCode::NotFound, {"nowhere.json"},
                 [&] { read_documents({dir_ / "nowhere.json"}); });
}

TEST_F(PlotDocument, PerplexitiesHaveTheirBits) {
    const std::string text = R"({"schema": "quarot.perplexity/1", "model": "m", "recipe": "rtn",
        "bits": {"per_weight": 4.1, "weights": 4, "activations": 8, "k": 4, "v": 2},
        "text": {"file": "t.txt"}, "perplexity": 26.9, "standard_error": null})";
    const Documents documents = read(text);
    const MeasuredPerplexity& measured = documents.perplexities.at(0).measured;
    EXPECT_EQ(measured.weight_bits, 4.1);
    EXPECT_EQ(measured.cache_bits, 3.0);
    EXPECT_EQ(measured.perplexity, 26.9);
    EXPECT_FALSE(measured.is_full_precision());
    EXPECT_FALSE(measured.standard_error.has_value());
    const auto with = [&](const std::string& old, const std::string& now) {
        std::string changed = text;
        changed.replace(changed.find(old), old.size(), now);
        return changed;
    };
    expect_refused(ErrorCode::Corrupt, with("26.9", "-1.0"), {"perplexity", "-1"});
    const Documents equal = read(with("error\": null", "error\": 0.0"));  // of equal windows
    EXPECT_EQ(equal.perplexities.at(0).measured.standard_error, 0.0);
    expect_refused(ErrorCode::Corrupt, with("error\": null", "error\": -0.5"),
                   {"standard_error", "-0.5"});
}

TEST_F(PlotDocument, PerplexitiesOfOtherTermsStandApart) {
    const auto document = [](const std::string& digest, const std::string& protocol,
                             const std::string& seqlen, const std::string& windows) {
        return R"({"schema": "quarot.perplexity/1", "model": "m", "recipe": "rtn",
            "bits": {"per_weight": 4, "activations": 8, "k": 4, "v": 2}, "perplexity": 26.9,
            "text": {"file": "t.txt", "sha256": ")" +
               digest + R"("}, "protocol": ")" + protocol + R"(", "seqlen": )" + seqlen +
               R"(, "windows": )" + windows + "}";
    };
    std::vector<PerplexityDocument> documents;
    for (const std::string& text :
         {document("a", "quarot", "32", "4"), document("b", "quarot", "32", "4"),
          document("a", "llamacpp", "32", "4"), document("a", "quarot", "64", "4"),
          document("a", "quarot", "32", "5"), document("a", "quarot", "32", "4")}) {
        documents.push_back(read(text).perplexities.at(0));
    }
    const auto groups = comparable(documents);
    ASSERT_EQ(groups.size(), 5u);
    EXPECT_EQ(groups[0].size(), 2u) << "the first and the last";
    expect_refused(ErrorCode::Corrupt, document("a", "quarot", "-1", "4"), {"seqlen"});
}

TEST_F(PlotDocument, RowsOfTablesKeepTheirOrderAndSeries) {
    const std::string row = R"({"table": 9, "row": "QuaRot-RTN INT4", "recipe": "quarot-rtn",
        "precision": "W4A4KV4", "perplexity": 15.5, "relative": 1.3, "bits_per_value": 4.1,
        "perplexity_stddev": 0.25, "activation_bits_per_value": 4.2, "kv_bits_per_value": 4.5, "seconds": 2.5, "paper": 8.37,
        "note": null, "reason": null})";
    std::string rotated = row;
    rotated.insert(rotated.find("\"recipe\""), R"("rotate": "r1,r4", )");
    const std::string missing = R"({"table": 10, "row": "OmniQuant", "recipe": "omniquant",
        "rotate": "r1,r2", "zero_shot_average": 41.5,
        "perplexity": null, "paper": 14.26, "reason": "needs gradients"})";
    const Documents documents = read(R"({"schema": "quarot.reproduce/1", "model": "m", "text": "t",
        "rows": [)" + row + "," + rotated +
                                     "," + missing + "]}");
    const auto& tables = documents.reproductions.at(0).tables;
    ASSERT_EQ(tables.size(), 2u);
    EXPECT_EQ(tables[0].number, 9);
    EXPECT_EQ(tables[0].title(), "Table 9");
    EXPECT_EQ(tables[0].rows[0].measured->series, "QuaRot-RTN");
    EXPECT_EQ(tables[0].rows.at(1).measured->series, "QuaRot-RTN, rotate r1,r4");
    EXPECT_EQ(tables[0].rows[0].measured->cache_bits, 4.5);
    EXPECT_EQ(tables[0].rows[0].measured->seed_deviation, 0.25);
    EXPECT_FALSE(tables[0].rows[0].measured->standard_error.has_value());
    EXPECT_FALSE(tables[1].rows[0].measured.has_value());
    EXPECT_EQ(tables[1].rows[0].name, "OmniQuant, rotate r1,r2");
    EXPECT_EQ(tables[1].rows[0].accuracy, 41.5);
    EXPECT_FALSE(tables[0].rows[0].accuracy.has_value());
    EXPECT_EQ(tables[1].rows[0].remark, "needs gradients");
    for (const char* key : {"seconds", "zero_shot_average", "paper_zero_shot_average"}) {
        expect_refused(ErrorCode::Corrupt,
                       R"({"schema": "quarot.reproduce/1", "model": "m", "text": "t", "rows": [
                           {"table": 1, "row": "r", "recipe": "r", ")" +
                           std::string(key) + R"(": -1}]})",
                       {key, "-1"});
    }
}

TEST_F(PlotDocument, StepsBeyondThePaperAreTablesOfTheirOwn) {
    const auto row = [](const std::string& place) {
        return "{" + place + R"(, "row": "r", "recipe": "best4", "perplexity": null})";
    };
    const auto report = [](const std::string& rows) {
        return R"({"schema": "quarot.reproduce/1", "model": "m", "text": "t", "rows": [)" + rows +
               "]}";
    };
    const std::string first = row(R"("table": null, "beyond": 1)");
    const std::string second = row(R"("table": null, "beyond": 2)");
    const std::string papers = row(R"("table": 2, "beyond": null)");
    const auto tables =
        read(report(first + "," + first + "," + second + "," + papers)).reproductions.at(0).tables;
    ASSERT_EQ(tables.size(), 3u);
    EXPECT_EQ(tables[0].rows.size(), 2u);
    EXPECT_EQ(tables[1].title(), "Beyond the paper 2");
    EXPECT_EQ(tables[1].file_name(), "beyond2");
    EXPECT_EQ(tables[2].file_name(), "table2");
    expect_refused(ErrorCode::Corrupt, report(first + "," + second + "," + first), {"again"});
}

TEST_F(PlotDocument, SpeedsAreThoseOfTests) {
    const std::string text = R"({"schema": "quarot.bench/1", "rows": [{"test": "pp512", "depth": 0,
        "batch": 1, "device": "cpu", "model": "m", "recipe": "w4a8kv4", "tokens_per_second": 439.5,
        "stddev": 2.5}]})";
    const Documents documents = read(text);
    EXPECT_EQ(documents.benches.at(0).rows.at(0).label, "m, w4a8kv4, cpu");
    EXPECT_EQ(documents.benches.at(0).rows.at(0).tokens_per_second, 439.5);
    std::string wrong = text;
    wrong.replace(wrong.find("439.5"), 5, "-4395");
    expect_refused(ErrorCode::Corrupt, wrong, {"tokens_per_second"});
    expect_refused(ErrorCode::Unsupported, R"({"schema": "quarot.bench/1", "operations": []})",
                   {"operations"});
    expect_refused(ErrorCode::Unsupported,
                   R"({"schema": "quarot.bench/1", "rows": [{"table": 14}]})", {"paper"});
}

}  // namespace
}  // namespace quarot::plot
