#include "apps/stats_table.h"

#include <fmt/format.h>

#include <vector>

#include "apps/report.h"

namespace quarot::apps {

namespace {

using stats::Summary;

// "10560", "8.25", "-" for what there is not.
std::string short_number(std::optional<double> value) {
    if (!value) return "-";
    return *value < 100 ? fmt::format("{:.2f}", *value) : fmt::format("{:.0f}", *value);
}

template <typename Get>
void add_both(std::vector<std::string>& cells, const std::optional<Summary>& before,
              const std::optional<Summary>& after, const Get& get) {
    for (const auto* stage : {&before, &after}) {
        cells.push_back(short_number(*stage ? get(**stage) : std::optional<double>()));
    }
}

std::vector<std::string> line(const std::string& place, int64_t layer, int bits,
                              const std::optional<Summary>& before,
                              const std::optional<Summary>& after) {
    std::vector<std::string> cells = {place, std::to_string(layer)};
    add_both(cells, before, after, [](const Summary& s) { return s.kurtosis; });
    add_both(cells, before, after, [](const Summary& s) { return s.max_to_median(); });
    add_both(cells, before, after,
             [](const Summary& s) { return std::optional(s.peak_ratio.mean); });
    cells.push_back(std::to_string(bits));
    add_both(cells, before, after, [](const Summary& s) { return s.sqnr_db; });
    return cells;
}

}  // namespace

std::string stats_table(std::span<const stats::PointReport> points,
                        std::span<const stats::WeightReport> weights) {
    std::vector<std::vector<std::string>> rows = {{"place", "layer", "kurtosis", "after",
                                                   "max/median", "after", "max/RMS", "after",
                                                   "bits", "SQNR dB", "after"}};
    for (const stats::PointReport& report : points) {
        rows.push_back(line(std::string(rule_of(report.point).name), report.layer, report.bits,
                            report.before, report.after));
    }
    for (const stats::WeightReport& report : weights) {
        rows.push_back(line(std::string(name_of(report.id.role)), report.id.layer, report.bits,
                            report.before, report.after));
    }
    return format_table(rows);
}

}  // namespace quarot::apps
