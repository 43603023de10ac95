#include "generation/stop_filter.h"

#include <algorithm>
#include <utility>

namespace quarot::generation {

StopFilter::StopFilter(std::vector<std::string> stops) : stops_(std::move(stops)) {
    std::erase(stops_, "");
}

std::string StopFilter::put(std::string_view piece) {
    if (stopped_) return "";
    pending_ += piece;
    size_t first = std::string::npos;
    for (const std::string& stop : stops_) first = std::min(first, pending_.find(stop));
    stopped_ = first != std::string::npos;
    const size_t shown = stopped_ ? first : pending_.size() - held_length();
    std::string text = pending_.substr(0, shown);
    pending_ = stopped_ ? "" : pending_.substr(shown);
    return text;
}

std::string StopFilter::finish() {
    return std::exchange(pending_, "");
}

// The longest end of the pending text that begins some stop string.
size_t StopFilter::held_length() const {
    size_t longest = 0;
    for (const std::string& stop : stops_) {
        for (size_t n = std::min(stop.size() - 1, pending_.size()); n > longest; --n) {
            if (pending_.ends_with(stop.substr(0, n))) longest = n;
        }
    }
    return longest;
}

}  // namespace quarot::generation
