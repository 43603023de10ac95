// What every success and every failure of the program has in common.
#pragma once

#include <string>
#include <vector>

#include "e2e/program.h"

namespace quarot::test {

// Exit codes.
inline constexpr int kUsage = 2;
inline constexpr int kNotFound = 3;
inline constexpr int kUnsupported = 4;
inline constexpr int kCorrupt = 5;
inline constexpr int kOutOfMemory = 6;
inline constexpr int kIo = 7;
inline constexpr int kDevice = 10;

// Exit code 0; prints what the program said otherwise.
void expect_success(const Outcome& outcome);

// The exit code; nothing on stdout; on stderr one line of error, with only the line that names the
// backend and warnings before it; every one of `words` in that line.
void expect_failure(const Outcome& outcome, int exit_code, const std::vector<std::string>& words);

// The keys are there, beside "schema" and "version" of the command.
void expect_document(const io::Json& json, const std::string& command,
                     const std::vector<std::string>& keys);

// Every path below `folder`, hidden ones too, sorted.
std::vector<std::string> listing(const std::string& folder);

}  // namespace quarot::test
