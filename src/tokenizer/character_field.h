// A field of tokenizer.json that holds one character.
#pragma once

#include "io/json.h"

namespace quarot::tokenizer {

// Error{Corrupt} if it is not one.
char32_t parse_character(const io::Json& value);

}  // namespace quarot::tokenizer
