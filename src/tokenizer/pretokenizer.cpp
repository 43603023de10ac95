// Every step cuts each piece of the step before it, and never looks beyond that piece's ends.
#include "tokenizer/pretokenizer.h"

#include <string>

#include "core/error.h"
#include "io/text.h"
#include "tokenizer/replace.h"
#include "tokenizer/unicode.h"

namespace quarot::tokenizer {
namespace {

bool flag(const io::Json& step, std::string_view key, bool otherwise) {
    const io::Json* value = step.find(key);
    return value == nullptr ? otherwise : value->as_bool();
}

bool is_numeric(char32_t code) {
    const Category found = category(code);
    return found == Category::Number || found == Category::NewerNumber;
}

}  // namespace

PreTokenizer::PreTokenizer(const io::Json* json) {
    if (json != nullptr) add(*json);
}

void PreTokenizer::add(const io::Json& step) {
    const std::string& type = step.at("type").as_string();
    if (byte_level_) {
        fail(ErrorCode::Unsupported, "{}: pre_tokenizer {} stands after ByteLevel, expected before",
             step.place(), io::printable(type));
    }
    if (type == "Sequence") {
        for (const io::Json& inner : step.at("pretokenizers").as_array()) add(inner);
    } else if (type == "Split") {
        add_split(step);
    } else if (type == "ByteLevel") {
        add_byte_level(step);
    } else if (type == "Digits") {
        steps_.emplace_back(Digits{flag(step, "individual_digits", false)});
    } else {
        fail(ErrorCode::Unsupported, "{}: pre_tokenizer {} is not supported", step.place(),
             io::printable(type));
    }
    check_step_count(steps_.size(), step.place());
}

void PreTokenizer::add_split(const io::Json& step) {
    const io::Json* regex = step.at("pattern").find("Regex");
    const auto known = regex ? SplitPattern::known(regex->as_string()) : std::nullopt;
    if (!known) {
        fail(ErrorCode::Unsupported,
             "{}: the split pattern is none of GPT-2, Llama-3 and Qwen2: {}", step.place(),
             io::printable(step.at("pattern").dump(-1)));
    }
    // The known patterns leave no gaps, so removing what does not match removes nothing.
    const std::string& behavior = step.at("behavior").as_string();
    const bool invert = flag(step, "invert", false);
    if (!(behavior == "Isolated" && !invert) && !(behavior == "Removed" && invert)) {
        fail(ErrorCode::Unsupported, "{}: Split with behavior {} and invert {} is not supported",
             step.place(), io::printable(behavior), invert);
    }
    steps_.emplace_back(*known);
}

void PreTokenizer::add_byte_level(const io::Json& step) {
    if (flag(step, "add_prefix_space", true)) {
        fail(ErrorCode::Unsupported, "{}: ByteLevel with add_prefix_space is not supported",
             step.place());
    }
    if (flag(step, "use_regex", true)) steps_.emplace_back(SplitPattern::gpt2());
    byte_level_ = true;
}

std::vector<std::string_view> PreTokenizer::split(std::string_view text) const {
    std::vector<std::string_view> pieces;
    if (!text.empty()) pieces.push_back(text);
    for (const Step& step : steps_) {
        std::vector<std::string_view> finer;
        for (std::string_view piece : pieces) {
            std::visit([&](const auto& kind) { cut(piece, kind, finer); }, step);
        }
        pieces.swap(finer);
    }
    return pieces;
}

void PreTokenizer::cut(std::string_view piece, const Digits& step,
                       std::vector<std::string_view>& pieces) {
    size_t begin = 0;
    bool in_number = false;
    for (size_t at = 0; at < piece.size();) {
        const Character next = character_at(piece, at);
        const bool numeric = is_numeric(next.code);
        const bool border = numeric != in_number || (numeric && step.individual);
        if (border && at > begin) {
            pieces.push_back(piece.substr(begin, at - begin));
            begin = at;
        }
        in_number = numeric;
        at = next.end;
    }
    pieces.push_back(piece.substr(begin));
}

void PreTokenizer::cut(std::string_view piece, const SplitPattern& step,
                       std::vector<std::string_view>& pieces) {
    for (size_t at = 0; at < piece.size();) {
        const size_t end = step.match(piece, at);
        pieces.push_back(piece.substr(at, end - at));
        at = end;
    }
}

}  // namespace quarot::tokenizer
