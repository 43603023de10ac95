// Kurtosis and quantization noise along the layers, before and after rotation.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "plot/axis.h"
#include "plot/figures.h"

namespace quarot::plot {
namespace {

constexpr double kLayerLeft = 64, kLayerRight = 16, kLayerTop = 100, kLayerGap = 30;
constexpr double kLayerPanelHeight = 150, kRowHeight = 220;
constexpr int kPanelsOfRow = 3;

struct Line {
    const char* shade = "";
    std::vector<double> layers, values;
};

struct LayerPanel {
    std::string name;
    std::vector<Line> lines;
};

std::optional<double> value_of(const Spread& spread, Measure measure) {
    return measure == Measure::Kurtosis ? spread.row_kurtosis : spread.row_sqnr_db;
}

// In the order in which names come up.
std::vector<LayerPanel> panels_of(const StatsDocument& document, Measure measure, bool of_weights) {
    std::vector<LayerPanel> panels;
    for (const Place& place : document.places) {
        if (place.is_weight != of_weights) continue;
        auto panel = std::find_if(panels.begin(), panels.end(),
                                  [&](const LayerPanel& p) { return p.name == place.name; });
        if (panel == panels.end()) {
            panels.push_back({place.name, {{"before", {}, {}}, {"after", {}, {}}}});
            panel = panels.end() - 1;
        }
        for (size_t stage = 0; stage < 2; ++stage) {
            const std::optional<Spread>& spread = stage == 0 ? place.before : place.after;
            const auto value = spread ? value_of(*spread, measure) : std::nullopt;
            if (!value) continue;
            panel->lines[stage].layers.push_back(static_cast<double>(place.layer));
            panel->lines[stage].values.push_back(*value);
        }
    }
    std::erase_if(panels, [](const LayerPanel& panel) {
        return std::all_of(panel.lines.begin(), panel.lines.end(),
                           [](const Line& line) { return line.values.empty(); });
    });
    return panels;
}

std::string hover_of(const LayerPanel& panel, const Line& line, size_t i, Measure measure) {
    return fmt::format("{}, layer {:.0f}, {} rotation\n{} {}{}", panel.name, line.layers[i],
                       line.shade, measure == Measure::Kurtosis ? "kurtosis" : "SQNR",
                       short_number(line.values[i]), measure == Measure::Kurtosis ? "" : " dB");
}

struct LayerAxes {
    Axis layer, value;
};

void draw(Svg& svg, const Box& box, const LayerPanel& panel, const LayerAxes& axes, Measure measure,
          bool with_labels) {
    const auto x = [&](double v) { return box.x + box.width * axes.layer.share(v); };
    const auto y = [&](double v) { return box.bottom() - box.height * axes.value.share(v); };
    svg.text(box.x, box.y - 9, Anchor::Start, "panel", panel.name);
    for (const double tick : axes.value.ticks()) {
        svg.line(box.x, y(tick), box.right(), y(tick), "grid");
        if (!with_labels) continue;
        svg.text(box.x - 8, y(tick) + 4, Anchor::End, "label", axes.value.label(tick));
    }
    svg.line(box.x, box.bottom(), box.right(), box.bottom(), "zero");
    for (const double tick : axes.layer.ticks()) {
        if (tick != std::floor(tick)) continue;
        svg.text(x(tick), box.bottom() + 17, Anchor::Middle, "label", fmt::format("{:.0f}", tick));
    }
    for (const Line& line : panel.lines) {
        std::vector<Svg::Point> points;
        points.reserve(line.values.size());
        for (size_t i = 0; i < line.values.size(); ++i) {
            points.push_back({x(line.layers[i]), y(line.values[i])});
        }
        svg.polyline(points, fmt::format("{}-1 stroke", line.shade));
        for (size_t i = 0; i < points.size(); ++i) {
            svg.circle(points[i].x, points[i].y, 3, fmt::format("{}-1", line.shade),
                       hover_of(panel, line, i, measure));
        }
    }
}

LayerAxes axes_of(const std::vector<LayerPanel>& panels, Measure measure) {
    std::vector<double> layers, values;
    for (const LayerPanel& panel : panels) {
        for (const Line& line : panel.lines) {
            layers.insert(layers.end(), line.layers.begin(), line.layers.end());
            values.insert(values.end(), line.values.begin(), line.values.end());
        }
    }
    return {Axis::within(layers),
            measure == Measure::Kurtosis ? Axis::logarithmic(values) : Axis::from_zero(values)};
}

void draw_stages(Svg& svg, double x, double y) {
    for (const char* shade : {"before", "after"}) {
        svg.line(x, y - 4, x + 18, y - 4, fmt::format("{}-1 stroke", shade));
        svg.circle(x + 9, y - 4, 3, fmt::format("{}-1", shade));
        svg.text(x + 24, y, Anchor::Start, "label", fmt::format("{} rotation", shade));
        x += 130;
    }
}

}  // namespace

std::optional<Figure> layer_figure(const StatsDocument& document, Measure measure, bool of_weights,
                                   const std::string& name) {
    const std::vector<LayerPanel> panels = panels_of(document, measure, of_weights);
    if (panels.empty()) return std::nullopt;
    const bool is_kurtosis = measure == Measure::Kurtosis;
    const auto n_rows = (std::ssize(panels) + kPanelsOfRow - 1) / kPanelsOfRow;
    Figure figure = {.name = name,
                     .title = fmt::format("{} of {} by layer",
                                          is_kurtosis ? "Kurtosis" : "Signal to quantization noise",
                                          of_weights ? "weights" : "activations"),
                     .width = kFigureWidth,
                     .height = kLayerTop + kRowHeight * static_cast<double>(n_rows) - 14,
                     .picture = {}};
    Svg& svg = figure.picture;
    svg.text(kLayerLeft, 26, Anchor::Start, "title", figure.title);
    const char* rows = of_weights ? "mean over outputs" : "mean over tokens";
    const char* what = is_kurtosis ? "3 is a normal distribution"
                                   : "decibels, as the recipe quantizes; 6 dB are about one bit";
    svg.text(
        kLayerLeft, 45, Anchor::Start, "subtitle",
        shortened(fmt::format("{}, recipe {}; {}; {}", document.model, document.recipe, rows, what),
                  130));
    draw_stages(svg, kLayerLeft, 66);
    const LayerAxes axes = axes_of(panels, measure);
    const double width =
        (kFigureWidth - kLayerLeft - kLayerRight - kLayerGap * (kPanelsOfRow - 1)) /
        double{kPanelsOfRow};
    for (size_t i = 0; i < panels.size(); ++i) {
        const size_t column = i % kPanelsOfRow, row = i / kPanelsOfRow;
        const Box box = {kLayerLeft + (width + kLayerGap) * static_cast<double>(column),
                         kLayerTop + kRowHeight * static_cast<double>(row), width,
                         kLayerPanelHeight};
        draw(svg, box, panels[i], axes, measure, column == 0);
        svg.text(box.x + width / 2, box.bottom() + 34, Anchor::Middle, "label", "layer");
        if (column != 0) continue;
        svg.vertical_text(14, box.y + box.height / 2, "label", is_kurtosis ? "kurtosis" : "dB");
    }
    return figure;
}

}  // namespace quarot::plot
