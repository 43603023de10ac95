// Ends a stream of text before the first stop string, however the text comes in pieces.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "generation/stop_automaton.h"

namespace quarot::generation {

// Error{Usage} for more stop strings than limits::kStops, for one that is longer than
// limits::kStopBytes or not UTF-8 (it could end within a character).
void check_stops(const std::vector<std::string>& stops);

// The first stop string is the one that is complete first; of several that are complete at the same
// byte it is the longest. Costs one step a byte.
class StopFilter {
  public:
    // Empty stop strings are ignored. As check_stops().
    explicit StopFilter(std::vector<std::string> stops);

    // The text that may be shown now: all that came, but for an end that could still become a stop
    // string. After a stop string everything is dropped. Pieces of whole characters give pieces of
    // whole characters.
    std::string put(std::string_view piece);
    // What was held back, once no more can come.
    std::string finish();

    bool stopped() const { return stopped_; }

  private:
    StopAutomaton automaton_;
    StopAutomaton::State state_ = StopAutomaton::kStart;
    std::string held_;  // the last bytes, which begin a stop string
    bool stopped_ = false;
};

}  // namespace quarot::generation
