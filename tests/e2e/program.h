// Runs the built program and keeps what it says.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "io/json.h"

namespace quarot::test {

// What happens to the program while it runs, as soon as `is_due`, which is asked every millisecond:
// a signal, or from then on a limit to the size of its files.
struct Stop {
    int signal = 0;  // 0: none
    std::function<bool()> is_due;
    std::optional<int64_t> max_file_bytes = {};
};

struct RunOptions {
    // In place of the test's own; what that has of QUAROT_... is left out.
    std::map<std::string, std::string> environment;
    std::string program;                    // empty: quarot
    std::optional<int64_t> max_file_bytes;  // RLIMIT_FSIZE: as a full disk
    std::string stdin_path;                 // empty: the test's own
    std::string stdout_path;                // empty: kept in Outcome::out
    bool close_stdout = false;              // nobody reads it
    std::optional<Stop> stop;
};

struct Outcome {
    std::string command;  // for messages
    int exit_code = 0;    // negative: the number of the signal that ended it
    std::string out;
    std::string err;

    io::Json json() const;  // of out
};

// Waits for it; a run that takes longer than two minutes is killed.
Outcome run_program(const std::vector<std::string>& arguments, const RunOptions& options = {});

}  // namespace quarot::test
