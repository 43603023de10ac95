// A model folder written as a GGUF file, as converters do it.
#pragma once

#include <string>

#include "io/handmade_gguf.h"

namespace quarot::test {

// The numbers of config.json, in the spelling of the hub, under the keys of `architecture`, the
// tensors under GGUF's names in their stored float dtypes, in the order of rows and with the gains
// that the architecture has, experts behind one another, the factors of RoPE's frequencies where
// the type is llama3, and, with a tokenizer.json, the byte tokens of tiny_tokenizer_json.
io::HandmadeGguf gguf_of_folder(const std::string& folder, const std::string& architecture);

// Of the families of tests/golden/families; empty: there are no such GGUF files.
std::string gguf_architecture(const std::string& family);
// A family's golden model as `folder`, but for what no GGUF file says, which is what they mean.
void write_what_gguf_can_say(const std::string& family, const std::string& folder);

void write_gguf(const io::HandmadeGguf& gguf, const std::string& path);

}  // namespace quarot::test
