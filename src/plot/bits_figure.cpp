// Perplexity against bits.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <set>
#include <tuple>

#include "plot/axis.h"
#include "plot/figures.h"
#include "plot/style.h"

namespace quarot::plot {
namespace {

constexpr double kBitsLeft = 64, kBitsTop = 72, kPlotWidth = 560, kPlotHeight = 300;

using Width = double MeasuredPerplexity::*;
struct WidthName {
    Width width;
    const char* name;
};
constexpr std::array<WidthName, 3> kWidths = {
    {{&MeasuredPerplexity::weight_bits, "bits per weight"},
     {&MeasuredPerplexity::activation_bits, "bits per activation"},
     {&MeasuredPerplexity::cache_bits, "bits per value of the cache"}}};

// By rising bits.
struct BitsSeries {
    std::string name;
    std::vector<MeasuredPerplexity> rows;
};

size_t n_different(const std::vector<MeasuredPerplexity>& measured, Width width) {
    std::set<int64_t> values;
    for (const MeasuredPerplexity& row : measured) values.insert(std::llround(100 * row.*width));
    return values.size();
}

// Of equals the first.
WidthName varying_width(const std::vector<MeasuredPerplexity>& measured) {
    return *std::max_element(kWidths.begin(), kWidths.end(), [&](auto& a, auto& b) {
        return n_different(measured, a.width) < n_different(measured, b.width);
    });
}

std::vector<BitsSeries> series_of(const std::vector<MeasuredPerplexity>& measured, Width width) {
    std::vector<BitsSeries> all;
    for (const MeasuredPerplexity& row : measured) {
        auto found = std::find_if(all.begin(), all.end(),
                                  [&](const BitsSeries& s) { return s.name == row.series; });
        if (found == all.end()) found = all.insert(all.end(), {row.series, {}});
        found->rows.push_back(row);
    }
    for (BitsSeries& series : all) {
        std::sort(series.rows.begin(), series.rows.end(), [&](const auto& a, const auto& b) {
            return std::tie(a.*width, a.perplexity) < std::tie(b.*width, b.perplexity);
        });
    }
    return all;
}

// A line goes through a series only if it has one value for each width.
bool is_function(const BitsSeries& series, Width width) {
    return n_different(series.rows, width) == series.rows.size();
}

std::string hover_of(const MeasuredPerplexity& row) {
    std::string text = fmt::format("{}\nperplexity {:.4f}", row.label, row.perplexity);
    if (row.standard_error) text += fmt::format(" ± {:.4f} (standard error)", *row.standard_error);
    if (row.seed_deviation) {
        text += fmt::format(" ± {:.4f} (standard deviation over seeds)", *row.seed_deviation);
    }
    return text + fmt::format("\nbits: weights {:.4g}, activations {:.4g}, cache {:.4g}",
                              row.weight_bits, row.activation_bits, row.cache_bits);
}

Axis perplexity_axis(const std::vector<double>& values) {
    constexpr double kWide = 3.0;
    const auto [min, max] = std::minmax_element(values.begin(), values.end());
    return *max > kWide * *min ? Axis::logarithmic(values) : Axis::linear(values);
}

struct BitsPlot {
    Svg& svg;
    const Axis bits, perplexity;
    Width width;
    double x(double value) const { return kBitsLeft + kPlotWidth * bits.share(value); }
    double y(double value) const { return kBitsTop + kPlotHeight * (1 - perplexity.share(value)); }

    void grid(const char* width_name) const {
        for (const double tick : perplexity.ticks()) {
            svg.line(kBitsLeft, y(tick), kBitsLeft + kPlotWidth, y(tick), "grid");
            svg.text(kBitsLeft - 8, y(tick) + 4, Anchor::End, "label", perplexity.label(tick));
        }
        for (const double tick : bits.ticks()) {
            svg.line(x(tick), kBitsTop, x(tick), kBitsTop + kPlotHeight, "grid");
            svg.text(x(tick), kBitsTop + kPlotHeight + 18, Anchor::Middle, "label",
                     bits.label(tick));
        }
        svg.text(kBitsLeft + kPlotWidth / 2, kBitsTop + kPlotHeight + 40, Anchor::Middle, "label",
                 width_name);
        svg.vertical_text(16, kBitsTop + kPlotHeight / 2, "label", "perplexity");
    }

    void series(const BitsSeries& series, const std::string& colour) const {
        std::vector<Svg::Point> points;
        points.reserve(series.rows.size());
        for (const auto& row : series.rows) {
            points.push_back({x(row.*width), y(row.perplexity)});
        }
        if (points.size() > 1 && is_function(series, width)) {
            svg.polyline(points, colour + " stroke");
        }
        for (size_t i = 0; i < points.size(); ++i) {
            const MeasuredPerplexity& row = series.rows[i];
            const double error = row.standard_error.value_or(row.seed_deviation.value_or(0.0));
            if (error > 0.0) {
                svg.line(points[i].x, y(row.perplexity - error), points[i].x,
                         y(row.perplexity + error), "error");
            }
            svg.circle(points[i].x, points[i].y, 4.5, colour, hover_of(row));
        }
    }
};

void draw_reference(const BitsPlot& plot, const MeasuredPerplexity& full, bool with_model,
                    double legend_y) {
    const double y = plot.y(full.perplexity);
    plot.svg.line(kBitsLeft, y, kBitsLeft + kPlotWidth, y, "reference");
    plot.svg.line(kBitsLeft + kPlotWidth + 24, legend_y - 4, kBitsLeft + kPlotWidth + 42,
                  legend_y - 4, "reference");
    plot.svg.text(
        kBitsLeft + kPlotWidth + 50, legend_y, Anchor::Start, "label",
        with_model ? fmt::format("16 bits: {:.4g}, {}", full.perplexity, shortened(full.model, 18))
                   : fmt::format("16 bits: {:.4g}", full.perplexity));
}

struct BitsData {
    WidthName width;
    std::vector<BitsSeries> series;
    std::vector<MeasuredPerplexity> full;  // of each model that has one, the first
    bool has_one_model = true;
    std::vector<double> widths, perplexities;
};

// Empty if nothing varies.
std::optional<BitsData> data_of(const std::vector<MeasuredPerplexity>& measured) {
    BitsData data = {};
    std::vector<MeasuredPerplexity> rows;
    for (const MeasuredPerplexity& row : measured) {
        if (row.model != measured.front().model) data.has_one_model = false;
        const bool is_known =
            std::any_of(data.full.begin(), data.full.end(),
                        [&](const MeasuredPerplexity& full) { return full.model == row.model; });
        if (row.is_full_precision() && is_known) continue;
        data.perplexities.push_back(row.perplexity);
        (row.is_full_precision() ? data.full : rows).push_back(row);
    }
    if (rows.size() < 2) return std::nullopt;
    data.width = varying_width(rows);
    data.series = series_of(rows, data.width.width);
    for (const MeasuredPerplexity& row : rows) data.widths.push_back(row.*data.width.width);
    const bool has_series =
        std::any_of(data.series.begin(), data.series.end(),
                    [&](const BitsSeries& s) { return n_different(s.rows, data.width.width) > 1; });
    if (n_different(rows, data.width.width) < 2) return std::nullopt;
    if (!has_series && data.series.size() > kSeries) return std::nullopt;
    return data;
}

}  // namespace

std::optional<Figure> bits_figure(const std::string& title, const std::string& subtitle,
                                  const std::vector<MeasuredPerplexity>& measured,
                                  const std::string& name) {
    const std::optional<BitsData> data = data_of(measured);
    if (!data) return std::nullopt;
    constexpr double kLegendLine = 22;
    const double legend =
        kLegendLine * static_cast<double>(data->series.size() + data->full.size());
    Figure figure = {.name = name,
                     .title = title,
                     .width = kFigureWidth,
                     .height = kBitsTop + std::max(kPlotHeight, legend) + 60,
                     .picture = {}};
    Svg& svg = figure.picture;
    svg.text(kBitsLeft, 26, Anchor::Start, "title", shortened(title, 90));
    svg.text(kBitsLeft, 45, Anchor::Start, "subtitle", shortened(subtitle, 120));
    const BitsPlot plot = {svg, Axis::linear(data->widths), perplexity_axis(data->perplexities),
                           data->width.width};
    plot.grid(data->width.name);
    double y = kBitsTop + 12;
    for (size_t i = 0; i < data->series.size(); ++i, y += kLegendLine) {
        const std::string colour = fmt::format("series-{}", i % kSeries);
        plot.series(data->series[i], colour);
        svg.circle(kBitsLeft + kPlotWidth + 33, y - 4, 4.5, colour);
        svg.text(kBitsLeft + kPlotWidth + 50, y, Anchor::Start, "label",
                 shortened(data->series[i].name, 34));
    }
    for (const MeasuredPerplexity& full : data->full) {
        draw_reference(plot, full, !data->has_one_model, y);
        y += kLegendLine;
    }
    return figure;
}

}  // namespace quarot::plot
