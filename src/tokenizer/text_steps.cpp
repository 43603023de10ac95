// All changed pieces of one step are written into one text; pieces that stay are not copied.
#include "tokenizer/text_steps.h"

#include "core/check.h"
#include "tokenizer/byte_level.h"

namespace quarot::tokenizer {
namespace {

// `write(i, piece, made)` appends the new text of piece i to `made` and gives true, or gives false
// if the piece stays.
template <typename Write>
void rewrite(TextPieces& text, Write write) {
    struct Changed {
        size_t piece;
        size_t begin;
        size_t end;
    };
    std::string made;
    std::vector<Changed> all;
    for (size_t i = 0; i < text.pieces.size(); ++i) {
        const size_t begin = made.size();
        if (write(i, text.pieces[i], made)) all.push_back({i, begin, made.size()});
    }
    if (all.empty()) return;
    const std::string_view kept = text.owned->emplace_back(std::move(made));
    for (const Changed& changed : all) {
        text.pieces[changed.piece] = kept.substr(changed.begin, changed.end - changed.begin);
    }
}

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

void change(const MarkSpaces& step, TextPieces& text) {
    rewrite(text, [&](size_t i, std::string_view piece, std::string& made) {
        const bool wanted = step.prepend == PrependScheme::Always ||
                            (step.prepend == PrependScheme::First && i == 0 && text.first);
        const bool marked = piece.starts_with(step.mark) || piece.starts_with(' ');
        if (wanted && !marked) {
            made += step.mark;
        } else if (piece.find(' ') == std::string_view::npos) {
            return false;
        }
        append_marked(piece, step.mark, made);
        return true;
    });
}

void change(const PrependSpace&, TextPieces& text) {
    rewrite(text, [](size_t, std::string_view piece, std::string& made) {
        if (piece.starts_with(' ')) return false;
        made += ' ';
        made += piece;
        return true;
    });
}

void change(const SpellPieces&, TextPieces& text) {
    rewrite(text, [](size_t, std::string_view piece, std::string& made) {
        made += spell_bytes(piece);
        return true;
    });
}

void change(const UnspellPieces&, TextPieces& text) {
    rewrite(text, [](size_t, std::string_view piece, std::string& made) {
        const auto bytes = bytes_of_spelling(piece);
        QUAROT_CHECK(bytes.has_value());
        made += *bytes;
        return true;
    });
}

}  // namespace quarot::tokenizer
