// Bands of channels before and after rotation, side by side, in units of the RMS of all values: a
// norm's gain that moves into weights scales all values and would hide what rotation does.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "plot/axis.h"
#include "plot/figures.h"

namespace quarot::plot {
namespace {

constexpr double kBandHeight = 414;
constexpr double kBandLeft = 64, kBandRight = 16, kBandGap = 28, kBandTop = 88,
                 kBandPanelHeight = 232;

// Channels [first, end) that share a column of the picture.
struct Column {
    int64_t first = 0, end = 0;
    double min = 0.0, p1 = 0.0, p25 = 0.0, p75 = 0.0, p99 = 0.0, max = 0.0;
};

double least(const std::vector<double>& values, int64_t first, int64_t end) {
    return *std::min_element(values.begin() + first, values.begin() + end);
}

double most(const std::vector<double>& values, int64_t first, int64_t end) {
    return *std::max_element(values.begin() + first, values.begin() + end);
}

std::vector<Column> columns_of(const ChannelBands& bands, int64_t most_columns) {
    const int64_t n_channels = std::ssize(bands.min);
    const int64_t n = std::min(n_channels, most_columns);
    std::vector<Column> columns;
    for (int64_t i = 0; i < n; ++i) {
        const int64_t first = i * n_channels / n, end = (i + 1) * n_channels / n;
        columns.push_back({.first = first,
                           .end = end,
                           .min = least(bands.min, first, end),
                           .p1 = least(bands.p1, first, end),
                           .p25 = least(bands.p25, first, end),
                           .p75 = most(bands.p75, first, end),
                           .p99 = most(bands.p99, first, end),
                           .max = most(bands.max, first, end)});
    }
    return columns;
}

std::string hover_of(const Column& column) {
    const std::string name = column.end - column.first == 1
                                 ? fmt::format("channel {}", column.first)
                                 : fmt::format("channels {} to {}", column.first, column.end - 1);
    return fmt::format("{}\nall {} to {}\n98 % {} to {}\n50 % {} to {}", name,
                       short_number(column.min), short_number(column.max), short_number(column.p1),
                       short_number(column.p99), short_number(column.p25),
                       short_number(column.p75));
}

// Two lines.
std::array<std::string, 2> figures_beneath(const Spread& spread, int64_t bits) {
    const auto shown = [](std::optional<double> value) {
        return value ? short_number(*value) : std::string("–");
    };
    std::string second = fmt::format("RMS {}", short_number(spread.rms));
    if (spread.sqnr_db) {
        second = fmt::format("SQNR {:.1f} dB at {} bits · ", *spread.sqnr_db, bits) + second;
    }
    return {fmt::format("kurtosis {} · max/median {}", shown(spread.kurtosis),
                        shown(spread.max_to_median)),
            second};
}

class Panel {
  public:
    // unit: what the axis counts in.
    Panel(Svg& svg, const Box& box, const Axis& axis, double unit)
        : svg_(svg), box_(box), axis_(axis), unit_(unit) {}

    void grid(bool with_labels) {
        for (const double tick : axis_.ticks()) {
            svg_.line(box_.x, y(tick), box_.right(), y(tick), tick == 0.0 ? "zero" : "grid");
            if (!with_labels) continue;
            svg_.text(box_.x - 8, y(tick) + 4, Anchor::End, "label", axis_.label(tick));
        }
    }

    void bands(const std::vector<Column>& columns, const std::string& shade) {
        area(columns, shade + "-0", &Column::min, &Column::max);
        area(columns, shade + "-1", &Column::p1, &Column::p99);
        area(columns, shade + "-2", &Column::p25, &Column::p75);
        const double width = box_.width / static_cast<double>(columns.size());
        svg_.begin_group("hover");
        for (size_t i = 0; i < columns.size(); ++i) {
            svg_.rect({box_.x + width * static_cast<double>(i), box_.y, width, box_.height}, "",
                      hover_of(columns[i]));
        }
        svg_.end_group();
    }

    void channels(int64_t n_channels) {
        const std::array<double, 2> ends = {0.0, static_cast<double>(n_channels - 1)};
        const Axis along = Axis::within(ends);
        for (const double tick : along.ticks()) {
            if (tick != std::floor(tick)) continue;
            const double x = box_.x + box_.width * (tick + 0.5) / static_cast<double>(n_channels);
            svg_.line(x, box_.bottom(), x, box_.bottom() + 4, "zero");
            svg_.text(x, box_.bottom() + 17, Anchor::Middle, "label", fmt::format("{:.0f}", tick));
        }
    }

  private:
    double y(double value) const { return box_.bottom() - box_.height * axis_.share(value); }

    void area(const std::vector<Column>& columns, const std::string& css, double Column::*low,
              double Column::*high) {
        constexpr double kThinnest = 0.5;  // pixels, so that narrow bands are seen
        Svg::Staircase stairs = {.left = box_.x, .width = box_.width, .top = {}, .bottom = {}};
        for (const Column& column : columns) {
            const double top = y(column.*high / unit_), bottom = y(column.*low / unit_);
            const double lack = std::max(0.0, kThinnest - (bottom - top)) / 2;
            stairs.top.push_back(top - lack);
            stairs.bottom.push_back(bottom + lack);
        }
        svg_.area(stairs, css);
    }

    Svg& svg_;
    const Box box_;
    const Axis& axis_;
    const double unit_;
};

void draw_legend(Svg& svg, const std::string& shade, double x, double y) {
    const std::array<const char*, 3> names = {"all values", "98 %", "50 %"};
    for (size_t i = 0; i < names.size(); ++i) {
        svg.rect({x, y - 9, 14, 10}, fmt::format("{}-{}", shade, i));
        svg.text(x + 19, y, Anchor::Start, "label", names[i]);
        x += i == 0 ? 86 : 56;
    }
}

std::string title_of(const Place& place) {
    if (place.is_weight) {
        return fmt::format("Weights of {}, layer {}, by input channel", place.name, place.layer);
    }
    return fmt::format("Activations by channel: {}, layer {}", place.what, place.layer);
}

}  // namespace

Figure band_figure(const StatsDocument& document, const Place& place, const std::string& name) {
    Figure figure = {.name = name,
                     .title = title_of(place),
                     .width = kFigureWidth,
                     .height = kBandHeight,
                     .picture = {}};
    Svg& svg = figure.picture;
    svg.text(kBandLeft, 26, Anchor::Start, "title", shortened(figure.title, 90));
    svg.text(kBandLeft, 45, Anchor::Start, "subtitle",
             shortened(fmt::format("{}, {} tokens; rotation: {}{}", document.model, document.tokens,
                                   document.rotation,
                                   place.gain_folded ? "; the norm's gain moves into weights" : ""),
                       130));
    struct Stage {
        const char* title;
        const char* shade;
        const Spread* spread;
        double unit() const { return spread->rms > 0.0 ? spread->rms : 1.0; }
    };
    std::vector<Stage> stages;
    if (place.before) stages.push_back({"before rotation", "before", &*place.before});
    if (place.after) stages.push_back({"after rotation", "after", &*place.after});
    std::vector<double> extremes;
    for (const Stage& stage : stages) {
        for (const auto* edge : {&stage.spread->bands.min, &stage.spread->bands.max}) {
            const auto [low, high] = std::minmax_element(edge->begin(), edge->end());
            extremes.push_back(*low / stage.unit());
            extremes.push_back(*high / stage.unit());
        }
    }
    const Axis axis = Axis::from_zero(extremes);
    const auto n = static_cast<double>(stages.size());
    const double width = (kFigureWidth - kBandLeft - kBandRight - kBandGap * (n - 1)) / n;
    for (size_t i = 0; i < stages.size(); ++i) {
        const Box box = {kBandLeft + (width + kBandGap) * static_cast<double>(i), kBandTop, width,
                         kBandPanelHeight};
        Panel panel(svg, box, axis, stages[i].unit());
        svg.text(box.x, kBandTop - 12, Anchor::Start, "panel", stages[i].title);
        draw_legend(svg, stages[i].shade, box.right() - 190, kBandTop - 12);
        panel.grid(i == 0);
        panel.bands(columns_of(stages[i].spread->bands, static_cast<int64_t>(width)),
                    stages[i].shade);
        panel.channels(place.n_channels);
        svg.text(box.x + width / 2, box.bottom() + 36, Anchor::Middle, "label", "channel");
        const auto lines = figures_beneath(*stages[i].spread, place.bits);
        for (size_t line = 0; line < lines.size(); ++line) {
            svg.text(box.x + width / 2, box.bottom() + 60 + 18 * static_cast<double>(line),
                     Anchor::Middle, "value", lines[line]);
        }
    }
    svg.vertical_text(16, kBandTop + kBandPanelHeight / 2, "label", "value / RMS");
    return figure;
}

}  // namespace quarot::plot
