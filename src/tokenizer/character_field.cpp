// JSON strings are valid UTF-8, so one character is what ends where the string does.
#include "tokenizer/character_field.h"

#include <string>

#include "core/error.h"
#include "io/text.h"
#include "tokenizer/unicode.h"

namespace quarot::tokenizer {

char32_t parse_character(const io::Json& value) {
    const std::string& text = value.as_string();
    if (text.empty() || character_at(text, 0).end != text.size()) {
        fail(ErrorCode::Corrupt, "{} is \"{}\", expected one character", value.place(),
             io::printable(text));
    }
    return character_at(text, 0).code;
}

}  // namespace quarot::tokenizer
