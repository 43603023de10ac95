// Every step cuts or changes each piece of the step before it.
#include "tokenizer/pretokenizer.h"

#include <concepts>

#include "core/error.h"
#include "io/text.h"
#include "tokenizer/metaspace.h"
#include "tokenizer/replace.h"

namespace quarot::tokenizer {
namespace {

bool flag(const io::Json& step, std::string_view key, bool otherwise) {
    const io::Json* value = step.find(key);
    return value == nullptr ? otherwise : value->as_bool();
}

template <typename Step>
constexpr bool kCuts = requires(const Pieces& pieces, const Step& step, Pieces& finer) {
    cut(pieces, step, finer);
};

void run(const auto& step, TextPieces& text) {
    if constexpr (kCuts<std::remove_cvref_t<decltype(step)>>) {
        const char* begin = text.pieces.empty() ? nullptr : text.pieces.front().data();
        Pieces finer;
        finer.reserve(text.pieces.size());
        cut(text.pieces, step, finer);
        text.pieces = std::move(finer);
        text.first = text.first && !text.pieces.empty() && text.pieces.front().data() == begin;
    } else {
        change(step, text);
    }
}

}  // namespace

PreTokenizer::PreTokenizer(const io::Json* json) {
    if (json == nullptr) return;
    add(*json);
    if (spelled_) steps_.emplace_back(UnspellPieces{});
}

void PreTokenizer::add(const io::Json& step) {
    const std::string& type = step.at("type").as_string();
    if (type == "Sequence") {
        for (const io::Json& inner : step.at("pretokenizers").as_array()) add(inner);
        return;
    }
    if (byte_level_ && (type == "ByteLevel" || type == "Metaspace")) {
        fail(ErrorCode::Unsupported, "{}: pre_tokenizer {} stands after ByteLevel, expected before",
             step.place(), type);
    }
    if (byte_level_ && !spelled_) {
        steps_.emplace_back(SpellPieces{});
        spelled_ = true;
    }
    add_kind(step, type);
    check_step_count(steps_.size(), step.place());
    check_growth(growth_, step.place());
}

void PreTokenizer::add_kind(const io::Json& step, const std::string& type) {
    using Kind = CharacterSplit::Kind;
    if (type == "Split") {
        add_split(step);
    } else if (type == "ByteLevel") {
        add_byte_level(step);
    } else if (type == "Metaspace") {
        add_metaspace(step);
    } else if (type == "Digits") {
        const bool individual = flag(step, "individual_digits", false);
        steps_.emplace_back(
            CharacterSplit{Kind::Number, individual ? Behavior::Isolated : Behavior::Contiguous});
    } else if (type == "Punctuation") {
        const io::Json* behavior = step.find("behavior");
        steps_.emplace_back(CharacterSplit{
            Kind::Punctuation, behavior ? parse_behavior(*behavior) : Behavior::Isolated});
    } else if (type == "WhitespaceSplit") {
        steps_.emplace_back(CharacterSplit{Kind::Space, Behavior::Removed});
    } else if (type == "Whitespace") {
        steps_.emplace_back(WordSplit{});
    } else {
        fail(ErrorCode::Unsupported, "{}: pre_tokenizer {} is not supported", step.place(),
             io::printable(type));
    }
}

void PreTokenizer::add_split(const io::Json& step) {
    const Behavior behavior = parse_behavior(step.at("behavior"));
    const bool invert = flag(step, "invert", false);
    const io::Json& pattern = step.at("pattern");
    if (const io::Json* regex = pattern.find("Regex")) {
        if (const auto known = SplitPattern::known(regex->as_string())) {
            steps_.emplace_back(KnownSplit{*known, behavior, invert});
        } else {
            steps_.emplace_back(
                RegexSplit{Regex(regex->as_string(), regex->place()), behavior, invert});
        }
        return;
    }
    const io::Json& literal = pattern.at("String");
    if (literal.as_string().empty()) {
        fail(ErrorCode::Unsupported, "{} is empty, expected a text to split at", literal.place());
    }
    steps_.emplace_back(LiteralSplit{literal.as_string(), behavior, invert});
}

void PreTokenizer::add_byte_level(const io::Json& step) {
    if (flag(step, "add_prefix_space", true)) {
        growth_ *= 2;
        steps_.emplace_back(PrependSpace{});
    }
    if (flag(step, "use_regex", true)) {
        steps_.emplace_back(KnownSplit{SplitPattern::gpt2(), Behavior::Isolated, false});
    }
    byte_level_ = true;
}

void PreTokenizer::add_metaspace(const io::Json& step) {
    const Metaspace read = Metaspace::parse(step);
    const std::string mark = read.mark_text();
    growth_ *= mark.size() + (read.prepend == PrependScheme::Never ? 0 : mark.size());
    steps_.emplace_back(MarkSpaces{.mark = mark, .prepend = read.prepend});
    if (read.split) {
        steps_.emplace_back(
            CharacterSplit{CharacterSplit::Kind::One, Behavior::MergedWithNext, read.mark});
    }
}

std::vector<std::string_view> PreTokenizer::split(std::string_view text, bool first,
                                                  std::deque<std::string>& owned) const {
    TextPieces result{.pieces = {}, .first = first, .owned = &owned};
    if (!text.empty()) result.pieces.push_back(text);
    for (const Step& step : steps_) {
        std::visit([&](const auto& kind) { run(kind, result); }, step);
    }
    return std::move(result.pieces);
}

}  // namespace quarot::tokenizer
