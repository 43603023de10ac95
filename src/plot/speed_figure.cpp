// Tokens a second as bars, a panel for each test.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "plot/axis.h"
#include "plot/figures.h"
#include "plot/style.h"

namespace quarot::plot {
namespace {

constexpr double kSpeedLeft = 330, kSpeedRight = 110, kSpeedTop = 76;
constexpr double kBar = 20, kBarRoom = 28, kPanelRoom = 64;

struct SpeedPanel {
    std::string name;
    std::vector<const MeasuredSpeed*> bars;
};

std::string name_of(const MeasuredSpeed& row) {
    std::string name = row.test;
    if (row.depth > 0) name += fmt::format(", {} tokens in the cache", row.depth);
    if (row.batch > 1) name += fmt::format(", {} sequences", row.batch);
    return name;
}

std::vector<SpeedPanel> panels_of(const std::vector<BenchDocument>& documents) {
    std::vector<SpeedPanel> panels;
    for (const BenchDocument& document : documents) {
        for (const MeasuredSpeed& row : document.rows) {
            const std::string name = name_of(row);
            auto found = std::find_if(panels.begin(), panels.end(),
                                      [&](const SpeedPanel& p) { return p.name == name; });
            if (found == panels.end()) found = panels.insert(panels.end(), {name, {}});
            found->bars.push_back(&row);
        }
    }
    return panels;
}

// Labels in the order in which they come up; a label has one colour in all panels.
std::vector<std::string> labels_of(const std::vector<BenchDocument>& documents) {
    std::vector<std::string> labels;
    for (const BenchDocument& document : documents) {
        for (const MeasuredSpeed& row : document.rows) {
            if (std::find(labels.begin(), labels.end(), row.label) == labels.end()) {
                labels.push_back(row.label);
            }
        }
    }
    return labels;
}

void draw(Svg& svg, const SpeedPanel& panel, double top, const std::vector<std::string>& labels) {
    const double width = kFigureWidth - kSpeedLeft - kSpeedRight;
    std::vector<double> values;
    values.reserve(panel.bars.size());
    for (const MeasuredSpeed* bar : panel.bars) {
        values.push_back(bar->tokens_per_second + bar->deviation);
    }
    const Axis axis = Axis::from_zero(values);
    const auto x = [&](double value) { return kSpeedLeft + width * axis.share(value); };
    const double bottom = top + kBarRoom * static_cast<double>(panel.bars.size());
    svg.text(kSpeedLeft, top - 8, Anchor::Start, "panel", shortened(panel.name, 60) + ": tokens/s");
    for (const double tick : axis.ticks()) {
        svg.line(x(tick), top, x(tick), bottom, tick == 0.0 ? "zero" : "grid");
        svg.text(x(tick), bottom + 16, Anchor::Middle, "label", axis.label(tick));
    }
    for (size_t i = 0; i < panel.bars.size(); ++i) {
        const MeasuredSpeed& bar = *panel.bars[i];
        const double y = top + kBarRoom * static_cast<double>(i) + (kBarRoom - kBar) / 2;
        const auto colour = std::find(labels.begin(), labels.end(), bar.label) - labels.begin();
        const std::string figure = bar.deviation > 0.0
                                       ? fmt::format("{} ± {}", short_number(bar.tokens_per_second),
                                                     short_number(bar.deviation))
                                       : short_number(bar.tokens_per_second);
        svg.text(kSpeedLeft - 10, y + kBar / 2 + 4, Anchor::End, "value", shortened(bar.label, 46));
        svg.rect({kSpeedLeft, y, x(bar.tokens_per_second) - kSpeedLeft, kBar},
                 fmt::format("series-{}", colour % kSeries),
                 fmt::format("{}\n{}: {} tokens/s", bar.label, panel.name, figure));
        const double low = x(bar.tokens_per_second - bar.deviation);
        const double high = x(bar.tokens_per_second + bar.deviation);
        if (bar.deviation > 0.0) svg.line(low, y + kBar / 2, high, y + kBar / 2, "error");
        svg.text(high + 8, y + kBar / 2 + 4, Anchor::Start, "value", figure);
    }
}

}  // namespace

Figure speed_figure(const std::vector<BenchDocument>& documents, const std::string& name) {
    const std::vector<SpeedPanel> panels = panels_of(documents);
    const std::vector<std::string> labels = labels_of(documents);
    Figure figure = {.name = name,
                     .title = "Speed in tokens a second",
                     .width = kFigureWidth,
                     .height = kSpeedTop,
                     .picture = {}};
    Svg& svg = figure.picture;
    svg.text(24, 26, Anchor::Start, "title", figure.title);
    svg.text(24, 45, Anchor::Start, "subtitle",
             "pp: a prompt, tg: tokens made one by one; ± standard deviation of runs");
    double top = kSpeedTop + 12;
    for (const SpeedPanel& panel : panels) {
        draw(svg, panel, top, labels);
        top += kBarRoom * static_cast<double>(panel.bars.size()) + kPanelRoom;
    }
    figure.height = top - 28;
    return figure;
}

}  // namespace quarot::plot
