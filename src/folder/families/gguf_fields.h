// What the metadata of a GGUF file says, as the fields of the config.json that families read.
#pragma once

#include <string>
#include <string_view>

#include "io/gguf.h"
#include "io/json.h"

namespace quarot::folder {

// "llama.block_count": a key of the file's own architecture.
std::string gguf_key(const io::GgufMetadata& metadata, std::string_view name);

// The widths, counts and constants that read_common_fields reads, with RoPE, end tokens and
// whether the head is tied. Error{Corrupt} for what is missing or of another kind,
// Error{Unsupported} for mixtures of experts and for factors of RoPE's frequencies that are not
// those of the type llama3.
io::Json common_gguf_fields(const io::GgufFile& file);

// "sliding_window", where the file names one.
void add_gguf_window(const io::GgufFile& file, io::Json& config);

// RoPE of the type longrope, where the file holds its two lists of factors.
void add_gguf_longrope(const io::GgufFile& file, io::Json& config);

}  // namespace quarot::folder
