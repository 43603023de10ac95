// The steps of a pre_tokenizer that cut pieces into finer ones.
#pragma once

#include <string>
#include <string_view>

#include "tokenizer/regex.h"
#include "tokenizer/split_behavior.h"
#include "tokenizer/split_pattern.h"

namespace quarot::tokenizer {

// At each character of a kind.
struct CharacterSplit {
    enum class Kind : uint8_t { Number, Punctuation, Space, One };
    Kind kind;
    Behavior behavior;
    char32_t one = 0;  // for Kind::One
};

// Into words and runs of what is neither a word nor space, which is left out.
struct WordSplit {};

struct LiteralSplit {
    std::string pattern;  // not empty
    Behavior behavior;
    bool invert;
};

struct RegexSplit {
    Regex pattern;
    Behavior behavior;
    bool invert;
};

struct KnownSplit {
    SplitPattern pattern;
    Behavior behavior;
    bool invert;
};

// Puts the pieces of a valid UTF-8 text, in order, none empty.
void cut(std::string_view piece, const CharacterSplit& step, const PutPiece& put);
void cut(std::string_view piece, const WordSplit& step, const PutPiece& put);
void cut(std::string_view piece, const LiteralSplit& step, const PutPiece& put);
void cut(std::string_view piece, const RegexSplit& step, RegexMatcher& matcher,
         const PutPiece& put);  // `matcher` is one for step.pattern
void cut(std::string_view piece, const KnownSplit& step, const PutPiece& put);

}  // namespace quarot::tokenizer
