// Reading the decoder section: only such chains are taken whose text can be given out in parts.
#include "tokenizer/decoder.h"

#include "core/error.h"
#include "io/text.h"
#include "tokenizer/byte_token.h"
#include "tokenizer/character_field.h"
#include "tokenizer/limits.h"
#include "tokenizer/metaspace.h"

namespace quarot::tokenizer {
namespace {

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

Decoder::Decoder(const io::Json* json, const Vocabulary& vocabulary) {
    if (json == nullptr) {
        steps_.emplace_back(Join{});
    } else {
        add(*json, vocabulary);
    }
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
        add_replace(step);
    } else if (type == "Strip") {
        add_strip(step);
    } else if (type == "Metaspace") {
        add_metaspace(step);
    } else if (type == "BPEDecoder") {
        add_ends_of_words(step);
    } else {
        fail(ErrorCode::Unsupported, "{}: decoder {} is not supported", step.place(),
             io::printable(type));
    }
    check_step_count(steps_.size(), step.place());
    check_growth(growth_, step.place());
}

void Decoder::add_replace(const io::Json& step) {
    Replace replace = Replace::parse(step);
    growth_ *= replace.growth();
    if (!fused_) {
        steps_.emplace_back(std::move(replace));
        return;
    }
    const std::string* literal = replace.literal_pattern();
    if (literal == nullptr) refuse_after_fuse(step);
    parse_added_text(step.at("pattern").at("String"));  // as long as what it makes us hold back
    steps_.emplace_back(ReplaceText{std::move(replace)});
}

void Decoder::add_strip(const io::Json& step) {
    const char32_t content = parse_character(step.at("content"));
    const auto start = static_cast<size_t>(step.at("start").as_int(0, limits::kStripped));
    const auto stop = static_cast<size_t>(step.at("stop").as_int(0, limits::kStripped));
    if (fused_) {
        steps_.emplace_back(StripText{.content = content, .start = start, .stop = stop});
    } else {
        steps_.emplace_back(StripToken{.content = content, .start = start, .stop = stop});
    }
}

// One text is one token, the first.
void Decoder::add_metaspace(const io::Json& step) {
    const Metaspace read = Metaspace::parse(step);
    const std::string mark = read.mark_text();
    const bool in_front = read.prepend != PrependScheme::Never;
    Replace first = Replace::literal(mark, in_front ? "" : " ");
    if (fused_) {
        steps_.emplace_back(ReplaceText{std::move(first)});
    } else {
        steps_.emplace_back(
            MarksToSpaces{.others = Replace::literal(mark, " "), .first = std::move(first)});
    }
}

// One text is one token, the last.
void Decoder::add_ends_of_words(const io::Json& step) {
    const std::string& suffix = parse_added_text(step.at("suffix"));
    if (suffix.empty()) {
        fail(ErrorCode::Unsupported, "{} is empty, expected the end of a word",
             step.at("suffix").place());
    }
    Replace last = Replace::literal(suffix, "");
    if (fused_) {
        steps_.emplace_back(ReplaceText{std::move(last)});
    } else {
        steps_.emplace_back(
            EndsOfWords{.others = Replace::literal(suffix, " "), .last = std::move(last)});
    }
}

void Decoder::refuse_after_fuse(const io::Json& step) const {
    if (!fused_) return;
    fail(ErrorCode::Unsupported, "{}: such a {} after Fuse or ByteLevel is not supported",
         step.place(), step.at("type").as_string());
}

}  // namespace quarot::tokenizer
