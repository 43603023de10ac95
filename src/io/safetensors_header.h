// Is the header of a safetensors file true? Judged from its text and the file's size alone.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "io/tensor_file.h"

namespace quarot::io {

struct SafetensorsHeader {
    std::map<std::string, TensorInfo> tensors;
    std::map<std::string, std::string> metadata;
};

// A file begins with the length of its header as a little-endian number.
inline constexpr int64_t kSafetensorsLengthBytes = 8;
using SafetensorsLength = std::array<std::byte, kSafetensorsLengthBytes>;

// The header's length; Error{Corrupt} naming `source` unless it is above 0, within the limit and
// inside a file of `file_bytes`.
int64_t safetensors_header_bytes(const SafetensorsLength& stored, int64_t file_bytes,
                                 const std::string& source);

// Refuses by the rules of docs/file_format.md: lengths, offsets, overlaps, gaps, duplicates,
// shapes; Error{Corrupt} naming `source`, Error{Unsupported} for a known dtype we lack.
SafetensorsHeader parse_safetensors_header(std::string_view text, int64_t file_bytes,
                                           const std::string& source);

}  // namespace quarot::io
