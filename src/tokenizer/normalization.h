// The four Unicode normalization forms, as the tokenizers package knows them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "tokenizer/plain_ranges.h"

namespace quarot::tokenizer {

enum class NormalForm : uint8_t { C, D, KC, KD };

// No character becomes more than this many times as long in bytes (U+1D160 in NFD, U+0390 in NFC
// threefold, U+FDFA in NFKD elevenfold).
size_t growth(NormalForm form);

// Of a valid UTF-8 text. Characters newer than the package's Unicode stay as they are and where
// they are. Time is linear in the text.
std::string normalize(std::string_view text, NormalForm form, RangeMover& ranges);

}  // namespace quarot::tokenizer
