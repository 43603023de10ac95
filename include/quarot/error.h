// What went wrong, for the person who can fix it: one exception type with one code.
#pragma once

#include <stdexcept>
#include <string>
#include <utility>

#include "quarot/export.h"

namespace quarot {

// The values are the program's exit codes.
enum class ErrorCode {
    Internal = 1,
    Usage = 2,        // a setting or an argument that cannot be
    NotFound = 3,     // input missing or unreadable
    Unsupported = 4,  // a model or feature we do not have
    Corrupt = 5,      // a file that breaks its format, NaN or Inf stored in a file included
    OutOfMemory = 6,  // host or device memory, or a resource limit
    Io = 7,           // read or write failed, disk full, output not writable
    Numeric = 8,      // NaN or Inf arising in computation
    CheckFailed = 9,
    Device = 10,
    Interrupted = 130,  // by the caller or by a signal
    Terminated = 143,
};

// what(): subject, found, expected, hint; one sentence in UTF-8, no newline.
class QUAROT_API Error : public std::runtime_error {
  public:
    Error(ErrorCode code, const std::string& message, std::string setting = "")
        : std::runtime_error(message), code_(code), setting_(std::move(setting)) {}
    ErrorCode code() const { return code_; }
    // The setting to look at, at fault or of help: its option in these headers or its key in
    // quantization_config, "window_tokens" or "weights.bits". Empty where no setting matters.
    const std::string& setting() const { return setting_; }

  private:
    ErrorCode code_;
    std::string setting_;
};

}  // namespace quarot
