#include "stats/stats_json.h"

#include <fmt/format.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "core/decimal.h"

namespace quarot::stats {
namespace {

using io::Json;
using io::or_null;

// The double that prints as the number does with so many digits, which keeps files small.
double with_digits(float value, int digits) {
    return std::strtod(fmt::format("{:.{}g}", value, digits).c_str(), nullptr);
}

Json exact(const std::vector<float>& values) {
    Json::Array list;
    for (const float value : values) list.emplace_back(as_written(value));
    return list;
}

Json rounded(const std::vector<float>& values) {
    constexpr int kDigits = 4;
    Json::Array list;
    for (const float value : values) list.emplace_back(with_digits(value, kDigits));
    return list;
}

Json to_json(const Bands& bands) {
    return Json::Object{{"min", exact(bands.min)},   {"p1", rounded(bands.p1)},
                        {"p25", rounded(bands.p25)}, {"p75", rounded(bands.p75)},
                        {"p99", rounded(bands.p99)}, {"max", exact(bands.max)}};
}

void add_stages(Json& json, const std::optional<Summary>& before,
                const std::optional<Summary>& after) {
    json.set("before", before ? to_json(*before) : Json());
    json.set("after", after ? to_json(*after) : Json());
}

}  // namespace

Json to_json(const Summary& summary) {
    const Summary::PeakRatio& ratio = summary.peak_ratio;
    return Json::Object{{"rows", summary.n_rows},
                        {"rms", summary.rms},
                        {"max_abs", summary.max_abs},
                        {"median_abs", summary.median_abs},
                        {"max_to_median", or_null(summary.max_to_median())},
                        {"kurtosis", or_null(summary.kurtosis)},
                        {"max_to_rms", Json::Object{{"mean", ratio.mean},
                                                    {"median", ratio.median},
                                                    {"p99", ratio.p99},
                                                    {"max", ratio.max}}},
                        {"sqnr_db", or_null(summary.sqnr_db)},
                        {"row_kurtosis", or_null(summary.row_kurtosis)},
                        {"row_sqnr_db", or_null(summary.row_sqnr_db)},
                        {"channels", to_json(summary.bands)}};
}

void add_reports(Json& document, std::span<const PointReport> points,
                 std::span<const WeightReport> weights) {
    document.set("percentile_resolution", 1.0 / kStepsOfOctave);
    Json::Array of_points;
    for (const PointReport& report : points) {
        Json json = Json::Object{{"layer", report.layer},
                                 {"point", std::string(rule_of(report.point).name)},
                                 {"what", std::string(rule_of(report.point).what)},
                                 {"channels", report.n_channels},
                                 {"bits", report.bits},
                                 {"gain_folded", report.gain_folded}};
        add_stages(json, report.before, report.after);
        of_points.push_back(std::move(json));
    }
    document.set("points", std::move(of_points));
    Json::Array of_weights;
    for (const WeightReport& report : weights) {
        Json json = Json::Object{{"layer", report.id.layer},
                                 {"weight", std::string(name_of(report.id.role))},
                                 {"outputs", report.n_rows},
                                 {"channels", report.n_channels},
                                 {"bits", report.bits}};
        add_stages(json, report.before, report.after);
        of_weights.push_back(std::move(json));
    }
    document.set("weights", std::move(of_weights));
}

}  // namespace quarot::stats
