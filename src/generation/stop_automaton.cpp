// Several stop strings found in one pass over the text, whatever they share.
#include "generation/stop_automaton.h"

#include <algorithm>

#include "core/check.h"
#include "generation/limits.h"

namespace quarot::generation {

namespace {

static_assert(limits::kStops * limits::kStopBytes < 65535, "states are numbered by 16 bits");

// `stop` holds `other`, and that ends before `stop` does.
bool comes_too_late(const std::string& stop, const std::string& other) {
    const size_t at = stop.find(other);
    return at != std::string::npos && at + other.size() < stop.size();
}

}  // namespace

StopAutomaton::StopAutomaton(const std::vector<std::string>& stops) : nodes_(1) {
    QUAROT_CHECK(stops.size() <= limits::kStops);
    for (const std::string& stop : stops) {
        QUAROT_CHECK(!stop.empty() && stop.size() <= limits::kStopBytes);
        const bool never_first =
            std::any_of(stops.begin(), stops.end(),
                        [&](const std::string& other) { return comes_too_late(stop, other); });
        if (!never_first) add(stop);
    }
    complete();
}

void StopAutomaton::add(const std::string& stop) {
    State state = kStart;
    for (const char byte : stop) {
        const auto at = static_cast<unsigned char>(byte);
        if (nodes_[state].next[at] == kStart) {
            nodes_[state].next[at] = static_cast<State>(nodes_.size());
            nodes_.emplace_back();
            nodes_.back().length = static_cast<uint16_t>(nodes_[state].length + 1);
        }
        state = nodes_[state].next[at];
    }
    nodes_[state].is_stop = true;
}

// Shorter states first: a state's fallback is complete before the state is.
void StopAutomaton::complete() {
    std::vector<State> queue = {kStart};
    for (size_t i = 0; i < queue.size(); ++i) {
        Node& node = nodes_[queue[i]];
        const Node& fallback = nodes_[node.fallback];
        for (size_t byte = 0; byte < node.next.size(); ++byte) {
            const State child = node.next[byte];
            if (child == kStart) {
                node.next[byte] = fallback.next[byte];
                continue;
            }
            nodes_[child].fallback = queue[i] == kStart ? kStart : fallback.next[byte];
            queue.push_back(child);
        }
    }
}

}  // namespace quarot::generation
