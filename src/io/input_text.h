// A text that the user of the program hands over: from a file, a pipe or standard input.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace quarot::io {

inline constexpr std::string_view kStandardInput = "-";

// All of it. path "-" is standard input; a pipe is read until its writers have closed it, and
// waited for. Error{NotFound} if there is no such file or it is a folder, Error{Io} if reading
// fails, Error{Corrupt} above max_bytes. A signal ends the waiting (core/process.h). Files of model
// folders are not read this way: a pipe there is a trap (io/file.h).
std::string read_input_text(const std::string& path, int64_t max_bytes);

}  // namespace quarot::io
