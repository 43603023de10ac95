#include "plot/stats_document.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

#include "core/error.h"
#include "plot/number.h"

namespace quarot::plot {
namespace {

using io::Json;

constexpr int64_t kMostLayers = 1 << 20;
constexpr int64_t kMostChannels = 1 << 24;
constexpr double kLargest = 3.5e38;  // fp32's range
constexpr double kLeastRms = 1e-60;  // of fp32 numbers that are not all 0, however many
constexpr Range kDecibels = {-1e4, 1e4};

// A member that may be null but must be there.
std::optional<double> number_or_null(const Json& json, std::string_view key, Range range) {
    const Json& value = json.at(key);
    if (value.is_null()) return std::nullopt;
    return number_in(value, range);
}

std::vector<double> band(const Json& channels, std::string_view key, int64_t n_channels) {
    const Json& json = channels.at(key);
    const Json::Array& list = json.as_array();
    if (std::ssize(list) != n_channels) {
        fail(ErrorCode::Corrupt, "{} has {} numbers, expected {}, one a channel", json.place(),
             list.size(), n_channels);
    }
    std::vector<double> values;
    values.reserve(list.size());
    for (const Json& value : list) {
        values.push_back(value.as_double());
        if (std::fabs(values.back()) <= kLargest) continue;
        fail(ErrorCode::Corrupt, "{} holds {}, which is more than an F32 holds", json.place(),
             values.back());
    }
    return values;
}

double rms(const Json& json) {
    return json.as_double() == 0.0 ? 0.0 : number_in(json, {kLeastRms, kLargest});
}

std::optional<Spread> spread(const Json& place, std::string_view stage, int64_t n_channels) {
    const Json& json = place.at(stage);
    if (json.is_null()) return std::nullopt;
    const Json& channels = json.at("channels");
    return Spread{.rms = rms(json.at("rms")),
                  .kurtosis = number_or_null(json, "kurtosis", kFromZero),
                  .max_to_median = number_or_null(json, "max_to_median", kFromZero),
                  .sqnr_db = number_or_null(json, "sqnr_db", kDecibels),
                  .row_kurtosis = number_or_null(json, "row_kurtosis", kFromZero),
                  .row_sqnr_db = number_or_null(json, "row_sqnr_db", kDecibels),
                  .mean_peak_ratio = number_in(json.at("max_to_rms").at("mean"), kFromZero),
                  .bands = {.min = band(channels, "min", n_channels),
                            .p1 = band(channels, "p1", n_channels),
                            .p25 = band(channels, "p25", n_channels),
                            .p75 = band(channels, "p75", n_channels),
                            .p99 = band(channels, "p99", n_channels),
                            .max = band(channels, "max", n_channels)}};
}

bool is_true(const Json& json, std::string_view key) {
    const Json* value = json.find(key);
    return value != nullptr && value->as_bool();
}

// It becomes part of file names.
std::string plain_name(const Json& json) {
    constexpr size_t kLongest = 32;
    const std::string& name = json.as_string();
    const bool plain = std::all_of(name.begin(), name.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
    });
    if (!plain || name.empty() || name.size() > kLongest) {
        fail(ErrorCode::Corrupt, "{} is no name of a place, expected up to {} letters, digits or _",
             json.place(), kLongest);
    }
    return name;
}

void add_places(const Json& list, const char* name_key, std::vector<Place>& to) {
    for (const Json& json : list.as_array()) {
        const int64_t n_channels = json.at("channels").as_int(1, kMostChannels);
        const std::string name = plain_name(json.at(name_key));
        const Json* what = json.find("what");
        to.push_back({.name = name,
                      .what = what == nullptr ? name : what->as_string(),
                      .is_weight = name_key == std::string_view("weight"),
                      .layer = json.at("layer").as_int(0, kMostLayers),
                      .bits = json.at("bits").as_int(1, 64),
                      .n_channels = n_channels,
                      .gain_folded = is_true(json, "gain_folded"),
                      .before = spread(json, "before", n_channels),
                      .after = spread(json, "after", n_channels)});
        if (to.back().before || to.back().after) continue;
        fail(ErrorCode::Corrupt, "{} has neither before nor after", json.place());
    }
}

// Each becomes a file of its own.
void check_unique(const std::vector<Place>& places, const Json& json) {
    std::set<std::pair<std::string, int64_t>> seen;
    for (const Place& place : places) {
        if (seen.emplace(place.name, place.layer).second) continue;
        fail(ErrorCode::Corrupt, "{} has {} of layer {} twice", json.at("points").place(),
             place.name, place.layer);
    }
}

}  // namespace

StatsDocument stats_document(const Json& json) {
    StatsDocument document = {.model = json.at("model").as_string(),
                              .recipe = json.at("recipe").as_string(),
                              .rotation = json.at("rotation").as_string(),
                              .tokens = json.at("tokens").as_int(),
                              .places = {}};
    add_places(json.at("points"), "point", document.places);
    add_places(json.at("weights"), "weight", document.places);
    check_unique(document.places, json);
    return document;
}

}  // namespace quarot::plot
