// Only the template for a single text is read: pairs of texts are for other kinds of models.
#include "tokenizer/post_processor.h"

#include <string>
#include <utility>

#include "core/error.h"
#include "io/text.h"

namespace quarot::tokenizer {
namespace {

int32_t known_id(const io::Json& value, const Vocabulary& vocabulary) {
    const int32_t id = parse_id(value);
    if (vocabulary.token(id) == nullptr) {
        fail(ErrorCode::Corrupt, "{} is {}, an id that the vocabulary lacks", value.place(), id);
    }
    return id;
}

std::vector<int32_t> ids_of_special(const io::Json& item, const io::Json& step,
                                    const Vocabulary& vocabulary) {
    const io::Json& entry = step.at("special_tokens").at(item.at("id").as_string());
    std::vector<int32_t> ids;
    for (const io::Json& value : entry.at("ids").as_array()) {
        ids.push_back(known_id(value, vocabulary));
    }
    return ids;
}

// Of ["<s>", 1].
int32_t id_of_pair(const io::Json& pair, const Vocabulary& vocabulary) {
    if (pair.as_array().size() != 2) {
        fail(ErrorCode::Corrupt, "{} has {} values, expected a token and its id", pair.place(),
             pair.as_array().size());
    }
    return known_id(pair.as_array()[1], vocabulary);
}

}  // namespace

PostProcessor::PostProcessor(const io::Json* json, const Vocabulary& vocabulary) {
    if (json != nullptr) add(*json, vocabulary);
}

void PostProcessor::add(const io::Json& step, const Vocabulary& vocabulary) {
    const std::string& type = step.at("type").as_string();
    if (type == "Sequence") {
        for (const io::Json& inner : step.at("processors").as_array()) add(inner, vocabulary);
    } else if (type == "TemplateProcessing") {
        add_template(step, vocabulary);
    } else if (type == "BertProcessing" || type == "RobertaProcessing") {
        claim_template(step);
        before_.push_back(id_of_pair(step.at("cls"), vocabulary));
        after_.push_back(id_of_pair(step.at("sep"), vocabulary));
    } else if (type != "ByteLevel") {  // which changes offsets only
        fail(ErrorCode::Unsupported, "{}: post_processor {} is not supported", step.place(),
             io::printable(type));
    }
}

void PostProcessor::claim_template(const io::Json& step) {
    if (std::exchange(has_template_, true)) {
        fail(ErrorCode::Unsupported, "{}: this is a second template, expected one", step.place());
    }
}

void PostProcessor::add_template(const io::Json& step, const Vocabulary& vocabulary) {
    claim_template(step);
    const io::Json& single = step.at("single");
    bool text_seen = false;
    for (const io::Json& item : single.as_array()) {
        if (const io::Json* special = item.find("SpecialToken")) {
            auto& side = text_seen ? after_ : before_;
            const auto ids = ids_of_special(*special, step, vocabulary);
            side.insert(side.end(), ids.begin(), ids.end());
        } else if (item.at("Sequence").at("id").as_string() == "A" && !text_seen) {
            text_seen = true;
        } else {
            fail(ErrorCode::Unsupported, "{}: the template holds more than text A once",
                 item.place());
        }
    }
    if (!text_seen) {
        fail(ErrorCode::Unsupported, "{}: the template leaves the text out", single.place());
    }
}

}  // namespace quarot::tokenizer
