// Is the header of a GGUF file true? Judged from its bytes and the file's size, before any tensor
// is read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>

#include "io/gguf_metadata.h"
#include "tensor/ggml_blocks.h"
#include "tensor/tensor.h"

namespace quarot::io {

struct GgufTensor {
    const GgmlType* type = nullptr;
    Shape shape;         // rows first: the file has it the other way round
    int64_t offset = 0;  // of the first byte in the file
    int64_t bytes = 0;   // as stored
};

struct GgufHeader {
    GgufMetadata metadata;
    std::map<std::string, GgufTensor> tensors;
};

// The bytes of a file: `read` fills the span from an offset within it.
struct GgufBytes {
    std::string source;  // its name, for messages
    int64_t size = 0;
    std::function<void(int64_t offset, std::span<std::byte> out)> read;
};

// Versions 2 and 3, little-endian. Refuses by the rules of docs/file_format.md: lengths, counts,
// kinds, offsets, overlaps, gaps, duplicates, shapes; Error{Corrupt}, or Error{Unsupported} for
// versions and types that are not read.
GgufHeader read_gguf_header(const GgufBytes& bytes);

}  // namespace quarot::io
