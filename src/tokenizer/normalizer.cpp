// Steps run in the order of the file, each over the whole stretch.
#include "tokenizer/normalizer.h"

#include <optional>
#include <string_view>

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

Normalizer::Normalized Normalizer::normalize(std::string text) const {
    Normalized result{.text = std::move(text)};
    for (const Step& step : steps_) {
        std::visit([&](const auto& kind) { change(kind, result); }, step);
    }
    return result;
}

void Normalizer::change(const Prepend& step, Normalized& text) {
    if (!text.text.empty()) text.text.insert(0, step.text);
}

void Normalizer::change(const Replace& step, Normalized& text) {
    bool keeps_start = true;
    text.text = step.apply(text.text, &keeps_start);
    text.keeps_start = text.keeps_start && keeps_start;
}

void Normalizer::change(const Strip& step, Normalized& text) {
    std::string& all = text.text;
    if (step.right) {
        size_t end = all.size();
        while (end > 0) {
            const size_t last = last_character(std::string_view(all).substr(0, end));
            if (!is_space(character_at(all, last).code)) break;
            end = last;
        }
        all.resize(end);
    }
    if (step.left) {
        size_t begin = 0;
        while (begin < all.size()) {
            const Character next = character_at(all, begin);
            if (!is_space(next.code)) break;
            begin = next.end;
        }
        text.keeps_start = text.keeps_start && begin == 0;
        all.erase(0, begin);
    }
}

void Normalizer::change(const LowerCase&, Normalized& text) {
    text.text = lower_case(text.text);
}

void Normalizer::change(const SpellBytes&, Normalized& text) {
    text.text = spell_bytes(text.text);
}

void Normalizer::change(NormalForm step, Normalized& text) {
    text.text = tokenizer::normalize(text.text, step);
}

}  // namespace quarot::tokenizer
