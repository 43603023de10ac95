// Which stop string could the end of a text be the beginning of? One step a byte, however many
// stop strings there are.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace quarot::generation {

// A state is the longest end of the text so far that begins a stop string (Aho and Corasick's
// automaton with every transition written out: at most 4097 states of 256). A stop string that
// contains another one which ends earlier can never be the first to be complete, and is left out;
// so all bytes before that longest end are certain, and none within it.
class StopAutomaton {
  public:
    using State = uint16_t;
    static constexpr State kStart = 0;

    // stops: none empty, within the limits of kStops and kStopBytes.
    explicit StopAutomaton(const std::vector<std::string>& stops);

    State next(State state, char byte) const {
        return nodes_[state].next[static_cast<unsigned char>(byte)];
    }
    // How many of the last bytes begin a stop string.
    size_t length(State state) const { return nodes_[state].length; }
    // Those bytes are a stop string, the longest of those that end here.
    bool is_stop(State state) const { return nodes_[state].is_stop; }

  private:
    struct Node {
        std::array<State, 256> next{};  // kStart until the node has a child or a better way
        State fallback = kStart;        // the longest proper end that is a state
        uint16_t length = 0;
        bool is_stop = false;
    };
    void add(const std::string& stop);
    void complete();

    std::vector<Node> nodes_;
};

}  // namespace quarot::generation
