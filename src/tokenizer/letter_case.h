// Lower case of characters, as the tokenizers package knows it.
#pragma once

#include <string>
#include <string_view>

#include "tokenizer/plain_ranges.h"

namespace quarot::tokenizer {

// Of a valid UTF-8 text, each character by itself.
std::string lower_case(std::string_view text, RangeMover& ranges);

}  // namespace quarot::tokenizer
