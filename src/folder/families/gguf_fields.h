// What the metadata of a GGUF file says, as the fields of the config.json that families read.
#pragma once

#include <string_view>

#include "io/gguf.h"
#include "io/json.h"

namespace quarot::folder {

// The widths, counts and constants that read_common_fields reads, with RoPE, end tokens and
// whether the head is tied. Error{Corrupt} for what is missing or of another kind,
// Error{Unsupported} for mixtures of experts and for factors of RoPE's frequencies that are not
// those of the type llama3.
io::Json common_gguf_fields(const io::GgufFile& file);

// Does the file name a window? It tells Mistral's from Llama's, which have one architecture.
bool has_gguf_window(const io::GgufMetadata& metadata);
// "sliding_window", where it does.
void add_gguf_window(const io::GgufFile& file, io::Json& config);

// RoPE of the type longrope, where the file holds its two lists of factors.
void add_gguf_longrope(const io::GgufFile& file, io::Json& config);

// Does this tensor hold factors of RoPE, which the fields above say, and no weights?
bool is_gguf_field(std::string_view tensor);

}  // namespace quarot::folder
