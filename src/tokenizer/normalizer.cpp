// Steps run in the order of the file, each over the whole stretch.
#include "tokenizer/normalizer.h"

#include "core/error.h"
#include "io/text.h"

namespace quarot::tokenizer {
Normalizer::Normalizer(const io::Json* json) {
    if (json != nullptr) add(*json);
}

void Normalizer::add(const io::Json& step) {
    const std::string& type = step.at("type").as_string();
    if (type == "Sequence") {
        for (const io::Json& inner : step.at("normalizers").as_array()) add(inner);
    } else if (type == "Prepend") {
        steps_.emplace_back(Prepend{parse_added_text(step.at("prepend"))});
    } else if (type == "Replace") {
        const Replace replace = Replace::parse(step);
        growth_ *= replace.growth();
        steps_.emplace_back(replace);
    } else {
        fail(ErrorCode::Unsupported, "{}: normalizer {} is not supported", step.place(),
             io::printable(type));
    }
    check_step_count(steps_.size(), step.place());
    check_growth(growth_, step.place());
}

std::string Normalizer::apply(std::string text) const {
    for (const auto& step : steps_) {
        if (const auto* prepend = std::get_if<Prepend>(&step)) {
            if (!text.empty()) text.insert(0, prepend->text);
        } else {
            text = std::get<Replace>(step).apply(text);
        }
    }
    return text;
}

}  // namespace quarot::tokenizer
