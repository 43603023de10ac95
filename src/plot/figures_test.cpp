// Do pictures show what documents say: every spike, each series, and names as text alone?
#include "plot/figures.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "plot/html_report.h"

namespace quarot::plot {
namespace {

constexpr const char* kHostile = "</text><script>alert(1)</script>";

Spread flat_spread(int64_t n_channels) {
    const auto n = static_cast<size_t>(n_channels);
    const auto all = [&](double value) { return std::vector<double>(n, value); };
    return {.rms = 0.5,
            .kurtosis = 3.0,
            .max_to_median = 5.0,
            .sqnr_db = 19.0,
            .row_kurtosis = 3.0,
            .row_sqnr_db = 19.0,
            .mean_peak_ratio = 3.0,
            .bands = {all(-1.0), all(-0.9), all(-0.4), all(0.4), all(0.9), all(1.0)}};
}

Place place_at(int64_t layer, int64_t n_channels) {
    return {.name = "down_in",
            .what = "input of down_proj",
            .layer = layer,
            .bits = 4,
            .n_channels = n_channels,
            .before = flat_spread(n_channels),
            .after = flat_spread(n_channels)};
}

StatsDocument document_of(std::vector<Place> places) {
    return {.model = kHostile,
            .recipe = kHostile,
            .rotation = kHostile,
            .tokens = 10,
            .places = std::move(places)};
}

size_t count(const std::string& text, const std::string& what) {
    size_t n = 0;
    for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++n;
    return n;
}

// The least and the largest y of the path of a class.
struct Extent {
    double top = 1e9, bottom = -1e9;
};
Extent extent_of(const std::string& svg, const std::string& css) {
    const size_t end = svg.find("z\" class=\"" + css + "\"");
    const size_t start = svg.rfind("d=\"M", end) + 4;
    const std::string path = svg.substr(start, end - start);
    double y = std::stod(path.substr(path.find(' ')));
    Extent extent = {y, y};
    for (size_t at = path.find('v'); at != std::string::npos; at = path.find('v', at + 1)) {
        y += std::stod(path.substr(at + 1));
        extent.top = std::min(extent.top, y);
        extent.bottom = std::max(extent.bottom, y);
    }
    return extent;
}

TEST(BandFigure, NoSpikeIsLostAmongChannelsThatShareAPixel) {
    Place place = place_at(1, 11008);
    place.before->bands.max[5001] = 50.0;
    place.before->bands.p99[7777] = 30.0;
    place.before->bands.min[10999] = -50.0;
    const std::string svg = band_figure(document_of({place}), place, "f").file();
    // In units of the RMS of 0.5: from -100 to 100, over 232 pixels from 88 on.
    const auto y = [](double value) { return 204.0 - 116.0 * (value / 0.5) / 100.0; };
    EXPECT_NEAR(extent_of(svg, "before-0").top, y(50), 0.11);
    EXPECT_NEAR(extent_of(svg, "before-0").bottom, y(-50), 0.11);
    EXPECT_NEAR(extent_of(svg, "before-1").top, y(30), 0.11);
    EXPECT_NEAR(extent_of(svg, "after-0").top, y(1), 0.11) << "the same scale";
    EXPECT_NE(svg.find("all -1 to 50"), std::string::npos) << "its values on hover";
}

TEST(BandFigure, ChannelsStandBySideAndTellTheirValues) {
    const Place place = place_at(3, 40);
    const std::string svg = band_figure(document_of({place}), place, "f").file();
    EXPECT_EQ(count(svg, "<title>channel "), 80u);
    EXPECT_NE(svg.find("channel 39\nall -1 to 1\n98 % -0.9 to 0.9\n50 % -0.4 to 0.4"),
              std::string::npos);
    EXPECT_NE(svg.find(">kurtosis 3 · max/median 5<"), std::string::npos);
    EXPECT_NE(svg.find(">SQNR 19.0 dB at 4 bits · RMS 0.5<"), std::string::npos);
    EXPECT_NE(svg.find("input of down_proj, layer 3"), std::string::npos);
}

TEST(BandFigure, OneStageFillsThePicture) {
    Place place = place_at(0, 40);
    place.before.reset();
    const std::string svg = band_figure(document_of({place}), place, "f").file();
    EXPECT_EQ(count(svg, ">before rotation<"), 0u);
    EXPECT_EQ(count(svg, "<title>channel "), 40u);
}

TEST(LayerFigure, BothStagesOfEveryLayerAreThere) {
    Place gap = place_at(1, 8);
    gap.after->row_kurtosis.reset();
    const StatsDocument document = document_of({place_at(0, 8), gap, place_at(2, 8)});
    const auto figure = layer_figure(document, Measure::Kurtosis, false, "f");
    ASSERT_TRUE(figure.has_value());
    EXPECT_EQ(count(figure->file(), "<title>down_in, layer "), 5u);
    EXPECT_FALSE(layer_figure(document, Measure::Sqnr, true, "f").has_value()) << "no weights";
}

MeasuredPerplexity measured(const std::string& series, double weights, double activations,
                            double perplexity) {
    return {.model = "m",
            .label = series + " row",
            .series = series,
            .weight_bits = weights,
            .activation_bits = activations,
            .cache_bits = 4.5,
            .perplexity = perplexity,
            .standard_error = 0.5};
}

TEST(BitsFigure, TheWidthThatVariesIsTheAxis) {
    const auto by_activation =
        bits_figure("t", "s", {measured("a", 4.1, 4, 30), measured("a", 4.1, 8, 20)}, "f");
    ASSERT_TRUE(by_activation.has_value());
    EXPECT_NE(by_activation->file().find("bits per activation"), std::string::npos);
    EXPECT_EQ(count(by_activation->file(), "<polyline"), 1u);
    const auto by_weight =
        bits_figure("t", "s", {measured("a", 3.1, 4, 30), measured("b", 4.1, 4, 20)}, "f");
    EXPECT_NE(by_weight->file().find("bits per weight"), std::string::npos);
    EXPECT_EQ(count(by_weight->file(), "<polyline"), 0u) << "two series of one";
}

TEST(BitsFigure, WhatASpreadIsOfStandsBesideIt) {
    MeasuredPerplexity of_seeds = measured("a", 8, 4, 20);
    of_seeds.standard_error.reset();
    of_seeds.seed_deviation = 0.25;
    const std::string svg = bits_figure("t", "s", {measured("a", 4, 4, 30), of_seeds}, "f")->file();
    EXPECT_NE(svg.find("30.0000 ± 0.5000 (standard error)"), std::string::npos);
    EXPECT_NE(svg.find("20.0000 ± 0.2500 (standard deviation over seeds)"), std::string::npos);
    EXPECT_EQ(count(svg, "class=\"error\""), 2u);
}

TEST(BitsFigure, FullPrecisionIsALineAndNothingVariesIsNoPicture) {
    MeasuredPerplexity full = measured("full", 16, 16, 11.6);
    full.cache_bits = 16;
    const auto figure =
        bits_figure("t", "s", {full, measured("a", 4.1, 4, 30), measured("a", 8.1, 4, 20)}, "f");
    EXPECT_NE(figure->file().find("16 bits: 11.6"), std::string::npos);
    MeasuredPerplexity again = full;
    again.perplexity = 12.5;
    const auto twice = bits_figure(
        "t", "s", {full, again, measured("a", 4.1, 4, 30), measured("a", 8.1, 4, 20)}, "f");
    EXPECT_EQ(twice->file(), figure->file()) << "the first of a model";
    again.model = "other";
    const std::string both =
        bits_figure("t", "s", {full, again, measured("a", 4.1, 4, 30), measured("a", 8.1, 4, 20)},
                    "f")
            ->file();
    EXPECT_NE(both.find("16 bits: 11.6, m<"), std::string::npos);
    EXPECT_NE(both.find("16 bits: 12.5, other<"), std::string::npos);
    EXPECT_FALSE(bits_figure("t", "s", {full, measured("a", 4.1, 4, 30)}, "f").has_value());
    EXPECT_FALSE(
        bits_figure("t", "s", {measured("a", 4, 4, 30), measured("b", 4, 4, 31)}, "f").has_value());
}

TEST(SpeedFigure, EveryTestHasAPanelAndEveryRowABar) {
    const MeasuredSpeed prompt = {"pp512", 0, 1, kHostile, 439.0, 2.0};
    MeasuredSpeed decode = {"tg64", 2048, 4, "other", 46.0, 0.0};
    const std::string svg =
        speed_figure({{.rows = {prompt, decode}}, {.rows = {prompt}}}, "f").file();
    EXPECT_EQ(count(svg, "439 ± 2 tokens/s"), 2u);
    EXPECT_NE(svg.find("tg64, 2048 tokens in the cache, 4 sequences: tokens/s"), std::string::npos);
}

TEST(Report, HostileNamesAreTextEverywhere) {
    Place place = place_at(0, 8);
    place.what = kHostile;
    const StatsDocument document = document_of({place, place_at(1, 8)});
    std::vector<Figure> figures = {band_figure(document, place, "f"),
                                   *layer_figure(document, Measure::Sqnr, false, "g")};
    figures.push_back(*bits_figure(
        kHostile, kHostile, {measured(kHostile, 3, 4, 30), measured(kHostile, 4, 4, 20)}, "h"));
    figures.push_back(speed_figure({{.rows = {{kHostile, 0, 1, kHostile, 1.0, 0.0}}}}, "i"));
    for (const Figure& figure : figures) EXPECT_EQ(count(figure.file(), "<script"), 0u);
    PaperTable table = {1, {{.name = kHostile, .measured = measured(kHostile, 4, 4, 30)}}};
    table.rows[0].recipe = table.rows[0].remark = kHostile;
    const std::string page = html_report(
        "1", {kHostile}, {{kHostile, figures, stats_table(document) + paper_table(table)}});
    EXPECT_EQ(count(page, "<script"), 0u);
    EXPECT_EQ(count(page, "<svg "), 4u);
    EXPECT_EQ(count(page, "http"), 4u) << "the names of SVG alone; nothing is fetched";
}

}  // namespace
}  // namespace quarot::plot
