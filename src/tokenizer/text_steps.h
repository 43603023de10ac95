// The steps of a pre_tokenizer that change the text of pieces.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

namespace quarot::tokenizer {

enum class PrependScheme : uint8_t { First, Always, Never };

// A mark for each space, and one in front.
struct MarkSpaces {
    std::string mark;
    PrependScheme prepend;
};

// A space in front of each piece that has none.
struct PrependSpace {};

// Bytes as characters of the alphabet of byte_level.h, and back.
struct SpellPieces {};
struct UnspellPieces {};

// Pieces and where the changed ones are kept. `first`: whether pieces.front() is what the whole
// text begins with.
struct TextPieces {
    std::vector<std::string_view> pieces;
    bool first;
    std::deque<std::string>* owned;
};

void change(const MarkSpaces& step, TextPieces& text);
void change(const PrependSpace& step, TextPieces& text);
void change(const SpellPieces& step, TextPieces& text);
void change(const UnspellPieces& step, TextPieces& text);

}  // namespace quarot::tokenizer
