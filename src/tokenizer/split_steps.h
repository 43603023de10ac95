// The steps of a pre_tokenizer that cut pieces into finer ones.
#pragma once

#include <string>
#include <string_view>
#include <vector>

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

using Pieces = std::vector<std::string_view>;

// The pieces of valid UTF-8 texts, appended to `finer` in order, none empty.
void cut(const Pieces& pieces, const CharacterSplit& step, Pieces& finer);
void cut(const Pieces& pieces, const WordSplit& step, Pieces& finer);
void cut(const Pieces& pieces, const LiteralSplit& step, Pieces& finer);
void cut(const Pieces& pieces, const RegexSplit& step, Pieces& finer);
void cut(const Pieces& pieces, const KnownSplit& step, Pieces& finer);

}  // namespace quarot::tokenizer
