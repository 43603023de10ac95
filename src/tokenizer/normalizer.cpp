// Steps run in the order of the file, each over the whole stretch.
#include "tokenizer/normalizer.h"

#include <concepts>
#include <optional>
#include <string_view>
#include <type_traits>

#include "core/error.h"
#include "io/text.h"
#include "tokenizer/byte_level.h"
#include "tokenizer/letter_case.h"
#include "tokenizer/unicode.h"

namespace quarot::tokenizer {
namespace {

std::optional<NormalForm> form_of(std::string_view type) {
    if (type == "NFC") return NormalForm::C;
    if (type == "NFD") return NormalForm::D;
    if (type == "NFKC") return NormalForm::KC;
    if (type == "NFKD") return NormalForm::KD;
    return std::nullopt;
}

}  // namespace

Normalizer::Normalizer(const io::Json* json) {
    if (json != nullptr) add(*json);
}

void Normalizer::add(const io::Json& step) {
    const std::string& type = step.at("type").as_string();
    if (type == "Sequence") {
        for (const io::Json& inner : step.at("normalizers").as_array()) add(inner);
    } else if (const auto form = form_of(type)) {
        growth_ *= growth(*form);
        steps_.emplace_back(*form);
    } else if (type == "Prepend") {
        steps_.emplace_back(Prepend{parse_added_text(step.at("prepend"))});
    } else if (type == "Replace") {
        Replace replace = Replace::parse(step);
        growth_ *= replace.growth();
        steps_.emplace_back(std::move(replace));
    } else if (type == "Strip") {
        steps_.emplace_back(Strip{.left = step.at("strip_left").as_bool(),
                                  .right = step.at("strip_right").as_bool()});
    } else if (type == "Lowercase") {
        steps_.emplace_back(LowerCase{});  // at most a half longer, and only once
    } else if (type == "ByteLevel") {
        growth_ *= 2;
        steps_.emplace_back(SpellBytes{});
    } else {
        fail(ErrorCode::Unsupported, "{}: normalizer {} is not supported", step.place(),
             io::printable(type));
    }
    check_step_count(steps_.size(), step.place());
    check_growth(growth_, step.place());
}

Normalizer::Worker::Worker(const Normalizer& normalizer)
    : steps_(&normalizer.steps_), replaces_(normalizer.steps_.size()) {
    for (size_t i = 0; i < steps_->size(); ++i) {
        if (const auto* replace = std::get_if<Replace>(&(*steps_)[i])) {
            replaces_[i].emplace(*replace);
        }
    }
}

Normalizer::Normalized Normalizer::Worker::normalize(std::string text,
                                                     std::vector<TextRange> plain) {
    Normalized result{.text = std::move(text), .plain = std::move(plain)};
    for (size_t i = 0; i < steps_->size(); ++i) {
        RangeMover ranges(result.plain);
        const auto run = [&](const auto& step) {
            if constexpr (std::same_as<std::remove_cvref_t<decltype(step)>, Replace>) {
                change(*replaces_[i], result, ranges);
            } else {
                change(step, result, ranges);
            }
        };
        std::visit(run, (*steps_)[i]);
        result.range_steps += ranges.steps();
    }
    return result;
}

void Normalizer::change(const Prepend& step, Normalized& text, RangeMover& ranges) {
    if (text.text.empty()) return;
    text.text.insert(0, step.text);
    ranges.rewritten(0, step.text.size());
    ranges.copied(text.text.size() - step.text.size(), text.text.size());
}

void Normalizer::change(Replace::Worker& replace, Normalized& text, RangeMover& ranges) {
    bool keeps_start = true;
    text.text = replace.apply(text.text, keeps_start, ranges);
    text.keeps_start = text.keeps_start && keeps_start;
}

void Normalizer::change(const Strip& step, Normalized& text, RangeMover& ranges) {
    std::string& all = text.text;
    const size_t size = all.size();
    size_t begin = 0;
    size_t end = size;
    while (step.right && end > 0) {
        const size_t last = character_before(all, end);
        if (!is_space(character_at(all, last).code)) break;
        end = last;
    }
    while (step.left && begin < end) {
        const Character next = character_at(all, begin);
        if (!is_space(next.code)) break;
        begin = next.end;
    }
    text.keeps_start = text.keeps_start && begin == 0;
    all.resize(end);
    all.erase(0, begin);
    ranges.rewritten(begin, 0);
    ranges.copied(end, end - begin);
    ranges.rewritten(size, end - begin);
}

void Normalizer::change(const LowerCase&, Normalized& text, RangeMover& ranges) {
    text.text = lower_case(text.text, ranges);
}

void Normalizer::change(const SpellBytes&, Normalized& text, RangeMover& ranges) {
    const std::string_view old = text.text;
    size_t done = 0;
    size_t size = 0;
    for (const size_t border : ranges.borders_before(old.size())) {
        for (; done < border; ++done)
            size += character_of_byte(static_cast<uint8_t>(old[done])).size();
        ranges.rewritten(done, size);
    }
    std::string spelled = spell_bytes(old);
    ranges.rewritten(old.size(), spelled.size());
    text.text = std::move(spelled);
}

void Normalizer::change(NormalForm step, Normalized& text, RangeMover& ranges) {
    text.text = tokenizer::normalize(text.text, step, ranges);
}

}  // namespace quarot::tokenizer
