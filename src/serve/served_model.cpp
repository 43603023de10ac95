#include "serve/served_model.h"

#include <fmt/format.h>

#include <utility>

#include "chat/template_source.h"
#include "chat/turn_end.h"
#include "io/text.h"
#include "serve/api_error.h"

namespace quarot::serve {

ServedModel::ServedModel(ModelFacts facts)
    : facts_(std::move(facts)),
      tokenizer_(tokenizer::Tokenizer::load(facts_.folder)),
      token_texts_(tokenizer_) {
    if (!chat::ChatTemplate::folder_has_template(facts_.folder)) return;
    chat_ = std::make_unique<chat::ChatTemplate>(chat::ChatTemplate::load(facts_.folder));
    chat_text_ = chat::find_template(facts_.folder, "").text;
}

ServedModel::ServedModel(ModelFacts facts, tokenizer::Tokenizer tokenizer,
                         std::unique_ptr<chat::ChatTemplate> chat, std::string chat_text)
    : facts_(std::move(facts)),
      tokenizer_(std::move(tokenizer)),
      token_texts_(tokenizer_),
      chat_(std::move(chat)),
      chat_text_(std::move(chat_text)) {}

void ServedModel::require_name(const std::string& name) const {
    if (name.empty() || name == "default" || name == facts_.name || name == facts_.folder) return;
    throw ApiError(404,
                   fmt::format("the model {} is not served here, but {} is",
                               io::printable(name, 80), facts_.name),
                   "model", "model_not_found");
}

std::vector<int32_t> ServedModel::end_tokens(bool in_chat) const {
    return in_chat ? chat::turn_ends(facts_.end_tokens, tokenizer_) : facts_.end_tokens;
}

}  // namespace quarot::serve
