// Text is held back only as long as it may still become a stop string.
#include "generation/stop_filter.h"

#include <utility>

#include "core/error.h"
#include "generation/limits.h"
#include "io/text.h"
#include "io/utf8.h"

namespace quarot::generation {

namespace {

std::vector<std::string> checked(std::vector<std::string> stops) {
    check_stops(stops);
    std::erase(stops, "");
    return stops;
}

}  // namespace

void check_stops(const std::vector<std::string>& stops) {
    if (stops.size() > limits::kStops) {
        fail(ErrorCode::Usage, "{} stop strings are given, expected at most {}", stops.size(),
             limits::kStops);
    }
    for (const std::string& stop : stops) {
        if (stop.size() > limits::kStopBytes) {
            fail(ErrorCode::Usage, "a stop string has {} bytes, expected at most {}: {}",
                 stop.size(), limits::kStopBytes, io::printable(stop, 40));
        }
        if (io::first_non_utf8(stop) < stop.size()) {
            fail(ErrorCode::Usage, "the stop string {} is not UTF-8, expected whole characters",
                 io::printable(stop));
        }
    }
}

StopFilter::StopFilter(std::vector<std::string> stops) : automaton_(checked(std::move(stops))) {}

std::string StopFilter::put(std::string_view piece) {
    if (stopped_) return "";
    std::string text = std::exchange(held_, "");
    for (const char byte : piece) {
        text += byte;
        state_ = automaton_.next(state_, byte);
        stopped_ = automaton_.is_stop(state_);
        if (stopped_) break;
    }
    const size_t shown = text.size() - automaton_.length(state_);
    if (!stopped_) held_ = text.substr(shown);
    text.resize(shown);
    return text;
}

std::string StopFilter::finish() {
    return std::exchange(held_, "");
}

}  // namespace quarot::generation
