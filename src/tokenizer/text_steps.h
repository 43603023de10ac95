// The steps of a pre_tokenizer that change the text of pieces.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

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

// What a piece becomes: itself, or a new text in `made`, which may hold anything before. `first`:
// whether the piece is what the whole text begins with.
std::string_view changed(std::string_view piece, const MarkSpaces& step, bool first,
                         std::string& made);
std::string_view changed(std::string_view piece, const PrependSpace& step, bool first,
                         std::string& made);
std::string_view changed(std::string_view piece, const SpellPieces& step, bool first,
                         std::string& made);
std::string_view changed(std::string_view piece, const UnspellPieces& step, bool first,
                         std::string& made);

}  // namespace quarot::tokenizer
