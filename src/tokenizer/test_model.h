// Small tokenizer files for tests, made in memory and loaded like any other.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "io/json.h"
#include "tokenizer/tokenizer.h"

namespace quarot::tokenizer::test {

io::Json parse(std::string_view text);

// A tokenizer.json with the 256 bytes of the byte-level alphabet as ids 0 to 255, then the given
// merges' results, then the special token "<s>"; GPT-2 splitting, no post-processor.
io::Json byte_level_model(const std::vector<std::pair<std::string, std::string>>& merges = {});

// A tokenizer.json like those of older Llamas: <unk>, <s>, </s>, the 256 byte tokens (ids 3 to
// 258), then the given characters, then the given merges' results.
io::Json metaspace_model(const std::vector<std::string>& characters,
                         const std::vector<std::pair<std::string, std::string>>& merges = {});

// {"content": ..., "id": ..., "special": true, ...}
io::Json added_token(const std::string& content, int32_t id);

void write(const std::string& path, std::string_view text);

// Loads a folder that holds these two files.
Tokenizer load(const io::Json& json, std::string_view config = "{}");

}  // namespace quarot::tokenizer::test
