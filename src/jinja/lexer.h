// Where do text, statements and expressions begin and end, and which words are in them?
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace quarot::jinja {

struct Token {
    enum class Kind {
        Data,  // text to print as it stands
        VariableBegin,
        VariableEnd,
        BlockBegin,
        BlockEnd,
        Name,
        String,
        Integer,
        Float,
        Operator,
        End,
    };
    Kind kind = Kind::End;
    int line = 1;
    std::string text;  // of data, names, operators; strings without quotes and escapes
    int64_t integer = 0;
    double real = 0;

    bool is_operator(std::string_view sign) const { return kind == Kind::Operator && text == sign; }
    bool is_name(std::string_view word) const { return kind == Kind::Name && text == word; }
};

// With trim_blocks and lstrip_blocks: one line end after a block is dropped, and so is white space
// between a line's begin and a block. The source is well-formed UTF-8. Errors name the line.
std::vector<Token> tokenize(std::string_view source);

}  // namespace quarot::jinja
