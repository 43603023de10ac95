// How far is a long call, and shall it go on?
#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace quarot {

// Work comes in several pieces, one after the other, each with steps of its own.
struct ProgressEvent {
    std::string what;  // the piece: "quantizing", "loading"
    int64_t done = 0;  // steps
    int64_t total = 1;
};

// Called on the thread that made the call, after each step and between steps too. Returning false
// ends the call with Error{Interrupted}.
using ProgressCallback = std::function<bool(const ProgressEvent& event)>;

}  // namespace quarot
