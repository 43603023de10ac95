// Reading the decoder section: only such chains are taken whose text can be given out in parts.
#include "tokenizer/decoder.h"

#include "core/error.h"
#include "io/text.h"
#include "tokenizer/byte_token.h"
#include "tokenizer/unicode.h"

namespace quarot::tokenizer {
namespace {

constexpr int64_t kMaxStrip = 1 << 20;

char32_t parse_character(const io::Json& value) {
    const std::string& text = value.as_string();
    if (text.empty() || character_at(text, 0).end != text.size()) {
        fail(ErrorCode::Corrupt, "{} is \"{}\", expected one character", value.place(),
             io::printable(text));
    }
    return character_at(text, 0).code;
}

// Other readers differ on what such a token means, so we take neither side.
void refuse_odd_byte_tokens(const Vocabulary& vocabulary) {
    for (const std::string& token : vocabulary.tokens()) {
        if (looks_like_byte_token(token) && !byte_of_token(token)) {
            fail(ErrorCode::Corrupt,
                 "tokenizer.json: token \"{}\" of a vocabulary with byte tokens "
                 "is none, expected two upper-case hexadecimal digits",
                 io::printable(token));
        }
    }
}

}  // namespace

Decoder::Decoder(const io::Json* json, const std::string& source, const Vocabulary& vocabulary) {
    if (json == nullptr) {
        fail(ErrorCode::Unsupported, "{}: decoder is null, so the text of tokens is not defined",
             source);
    }
    add(*json, vocabulary);
}

void Decoder::add(const io::Json& step, const Vocabulary& vocabulary) {
    const std::string& type = step.at("type").as_string();
    if (type == "Sequence") {
        for (const io::Json& inner : step.at("decoders").as_array()) add(inner, vocabulary);
    } else if (type == "Fuse") {
        fused_ = true;
    } else if (type == "ByteLevel") {
        refuse_after_fuse(step);
        steps_.emplace_back(ByteLevel{});
        fused_ = true;
    } else if (type == "ByteFallback") {
        refuse_after_fuse(step);
        refuse_odd_byte_tokens(vocabulary);
        steps_.emplace_back(ByteFallback{});
    } else if (type == "Replace") {
        refuse_after_fuse(step);
        const Replace replace = Replace::parse(step);
        growth_ *= replace.growth();
        steps_.emplace_back(replace);
    } else if (type == "Strip") {
        add_strip(step);
    } else {
        fail(ErrorCode::Unsupported, "{}: decoder {} is not supported", step.place(),
             io::printable(type));
    }
    check_step_count(steps_.size(), step.place());
    check_growth(growth_, step.place());
}

void Decoder::add_strip(const io::Json& step) {
    const char32_t content = parse_character(step.at("content"));
    const auto start = static_cast<size_t>(step.at("start").as_int(0, kMaxStrip));
    const auto stop = static_cast<size_t>(step.at("stop").as_int(0, kMaxStrip));
    if (!fused_) {
        steps_.emplace_back(StripToken{.content = content, .start = start, .stop = stop});
        return;
    }
    if (stop > 0) {
        fail(ErrorCode::Unsupported, "{}: Strip of a text's end (stop {}) is not supported",
             step.place(), stop);
    }
    steps_.emplace_back(StripText{.content = content, .start = start});
}

void Decoder::refuse_after_fuse(const io::Json& step) const {
    if (!fused_) return;
    fail(ErrorCode::Unsupported, "{}: decoder {} after Fuse or ByteLevel is not supported",
         step.place(), step.at("type").as_string());
}

}  // namespace quarot::tokenizer
