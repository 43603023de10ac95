// A piece that stays as it is is not copied.
#include "tokenizer/text_steps.h"

#include <utility>

#include "core/check.h"
#include "tokenizer/byte_level.h"

namespace quarot::tokenizer {
namespace {

void append_marked(std::string_view piece, std::string_view mark, std::string& made) {
    for (size_t at = 0; at < piece.size();) {
        const size_t space = piece.find(' ', at);
        made += piece.substr(at, space - at);
        if (space == std::string_view::npos) return;
        made += mark;
        at = space + 1;
    }
}

}  // namespace

std::string_view changed(std::string_view piece, const MarkSpaces& step, bool first,
                         std::string& made) {
    const bool wanted =
        step.prepend == PrependScheme::Always || (step.prepend == PrependScheme::First && first);
    const bool marked = piece.starts_with(step.mark) || piece.starts_with(' ');
    const bool prepends = wanted && !marked;
    if (!prepends && piece.find(' ') == std::string_view::npos) return piece;
    made = prepends ? step.mark : "";
    append_marked(piece, step.mark, made);
    return made;
}

std::string_view changed(std::string_view piece, const PrependSpace&, bool, std::string& made) {
    if (piece.starts_with(' ')) return piece;
    made = ' ';
    made += piece;
    return made;
}

std::string_view changed(std::string_view piece, const SpellPieces&, bool, std::string& made) {
    made = spell_bytes(piece);
    return made;
}

std::string_view changed(std::string_view piece, const UnspellPieces&, bool, std::string& made) {
    auto bytes = bytes_of_spelling(piece);
    QUAROT_CHECK(bytes.has_value());
    made = std::move(*bytes);
    return made;
}

}  // namespace quarot::tokenizer
