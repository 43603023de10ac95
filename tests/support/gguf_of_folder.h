// A model folder written as a GGUF file, as converters do it.
#pragma once

#include <string>

#include "io/handmade_gguf.h"

namespace quarot::test {

// The numbers of config.json under the keys of `architecture`, the tensors under GGUF's names in
// their stored float dtypes, the rows of q and k in pairs where the architecture is "llama", the
// factors of RoPE's frequencies where the type is llama3, and, with a tokenizer.json, the byte
// tokens of tiny_tokenizer_json.
io::HandmadeGguf gguf_of_folder(const std::string& folder, const std::string& architecture);

void write_gguf(const io::HandmadeGguf& gguf, const std::string& path);

}  // namespace quarot::test
