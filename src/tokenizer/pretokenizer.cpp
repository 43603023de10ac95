// Every step cuts or changes each piece of the step before it, and hands what it gets from it to
// the step behind it before it goes on.
#include "tokenizer/pretokenizer.h"

#include <concepts>
#include <functional>
#include <type_traits>

#include "core/error.h"
#include "io/text.h"
#include "tokenizer/metaspace.h"
#include "tokenizer/replace.h"

namespace quarot::tokenizer {
namespace {

bool step_flag(const io::Json& step, std::string_view key, bool otherwise) {
    const io::Json* value = step.find(key);
    return value == nullptr ? otherwise : value->as_bool();
}

template <typename Step>
constexpr bool kCuts = requires(const Step& step, const PutPiece& put) {
    cut(std::string_view(), step, put);
};

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
        const bool individual = step_flag(step, "individual_digits", false);
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
    const bool invert = step_flag(step, "invert", false);
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
    steps_.emplace_back(LiteralSplit{parse_literal(pattern.at("String")), behavior, invert});
}

void PreTokenizer::add_byte_level(const io::Json& step) {
    if (step_flag(step, "add_prefix_space", true)) {
        growth_ *= 2;
        steps_.emplace_back(PrependSpace{});
    }
    if (step_flag(step, "use_regex", true)) {
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

PreTokenizer::Cutter::Stage::Stage(const Step& of) : step(&of) {
    if (const auto* split = std::get_if<RegexSplit>(step)) matcher.emplace(split->pattern);
}

PreTokenizer::Cutter::Cutter(const PreTokenizer& pretokenizer, const PutPiece& put) : put_(&put) {
    for (const Step& step : pretokenizer.steps_) stages_.emplace_back(step);
}

void PreTokenizer::Cutter::cut(std::string_view stretch, bool first) {
    if (!stretch.empty()) pass(stretch, first, 0);
}

void PreTokenizer::Cutter::pass(std::string_view piece, bool first, size_t stage) {
    if (stage == stages_.size()) {
        (*put_)(piece);
        return;
    }
    Stage& at = stages_[stage];
    const auto pass_on = [&](std::string_view part) {
        pass(part, first && part.data() == piece.data(), stage + 1);
    };
    const auto run = [&](const auto& step) {
        using Kind = std::remove_cvref_t<decltype(step)>;
        const PutPiece put = std::ref(pass_on);  // a reference needs no memory
        if constexpr (std::same_as<Kind, RegexSplit>) {
            tokenizer::cut(piece, step, *at.matcher, put);
        } else if constexpr (kCuts<Kind>) {
            tokenizer::cut(piece, step, put);
        } else {
            pass(changed(piece, step, first, at.made), first, stage + 1);
        }
    };
    std::visit(run, *at.step);
}

}  // namespace quarot::tokenizer
