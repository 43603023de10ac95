// No step looks beyond the ends of the piece that it cuts.
#include "tokenizer/split_steps.h"

#include "io/text.h"
#include "tokenizer/code_ranges.h"
#include "tokenizer/unicode.h"

namespace quarot::tokenizer {
namespace {

constexpr CodeRange kPunctuation[] = {
#include "tokenizer/punctuation.inc"
};

bool is_numeric(char32_t code) {
    const Category found = category(code);
    return found == Category::Number || found == Category::NewerNumber;
}

bool is_of(const CharacterSplit& step, char32_t code) {
    switch (step.kind) {
        case CharacterSplit::Kind::Number:
            return is_numeric(code);
        case CharacterSplit::Kind::Punctuation:
            return holds(kPunctuation, code);
        case CharacterSplit::Kind::Space:
            return is_space(code);
        default:
            return code == step.one;
    }
}

enum class WordKind { Word, Space, Neither };

WordKind word_kind_of(char32_t code) {
    if (is_word(code)) return WordKind::Word;
    return is_space(code) ? WordKind::Space : WordKind::Neither;
}

}  // namespace

void cut(std::string_view piece, const CharacterSplit& step, const PutPiece& put) {
    Splitter splitter(piece, step.behavior, false, put);
    for (size_t at = 0; at < piece.size();) {
        const Character next = character_at(piece, at);
        if (is_of(step, next.code)) splitter.match(at, next.end);
        at = next.end;
    }
    splitter.finish();
}

void cut(std::string_view piece, const WordSplit&, const PutPiece& put) {
    size_t begin = 0;
    WordKind kind = WordKind::Space;
    const auto put_until = [&](size_t end) {
        if (kind != WordKind::Space) put(piece.substr(begin, end - begin));
    };
    for (size_t at = 0; at < piece.size();) {
        const Character next = character_at(piece, at);
        const WordKind found = word_kind_of(next.code);
        if (found != kind) {
            put_until(at);
            begin = at;
            kind = found;
        }
        at = next.end;
    }
    put_until(piece.size());
}

void cut(std::string_view piece, const LiteralSplit& step, const PutPiece& put) {
    Splitter splitter(piece, step.behavior, step.invert, put);
    for (size_t at = io::find_bytes(piece, step.pattern); at != std::string_view::npos;
         at = io::find_bytes(piece, step.pattern, at + step.pattern.size())) {
        splitter.match(at, at + step.pattern.size());
    }
    splitter.finish();
}

void cut(std::string_view piece, const RegexSplit& step, RegexMatcher& matcher,
         const PutPiece& put) {
    Splitter splitter(piece, step.behavior, step.invert, put);
    matcher.for_each(piece, [&](size_t begin, size_t end) { splitter.match(begin, end); });
    splitter.finish();
}

void cut(std::string_view piece, const KnownSplit& step, const PutPiece& put) {
    Splitter splitter(piece, step.behavior, step.invert, put);
    for (size_t at = 0; at < piece.size();) {
        const size_t end = step.pattern.match(piece, at);
        splitter.match(at, end);
        at = end;
    }
    splitter.finish();
}

}  // namespace quarot::tokenizer
