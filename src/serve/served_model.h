// What a server knows of its model besides the weights: names, texts and how it talks.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "chat/chat_template.h"
#include "io/json.h"
#include "runtime/sampler.h"
#include "serve/token_texts.h"
#include "tokenizer/tokenizer.h"

namespace quarot::serve {

struct ModelFacts {
    std::string folder;
    std::string name;  // under which clients ask for it
    io::Json recipe;   // as /v1/models shows it
    int64_t context = 1;
    int64_t vocabulary = 1;
    std::vector<int32_t> end_tokens;
    runtime::SamplingOptions sampling;  // where a request does not say
};

// Never changes once it is made; any number of threads may use it.
class ServedModel {
  public:
    // Reads the tokenizer and, if there is one, the chat template of the folder.
    explicit ServedModel(ModelFacts facts);
    // Of parts, for tests. chat: or null.
    ServedModel(ModelFacts facts, tokenizer::Tokenizer tokenizer,
                std::unique_ptr<chat::ChatTemplate> chat, std::string chat_text);

    const ModelFacts& facts() const { return facts_; }
    const tokenizer::Tokenizer& tokenizer() const { return tokenizer_; }
    const TokenTexts& token_texts() const { return token_texts_; }
    // Null where the folder has none, then the reason.
    const chat::ChatTemplate* chat_template() const { return chat_.get(); }
    const std::string& chat_text() const { return chat_text_; }

    // ApiError 404 for any name but its own, its folder, "default" or none.
    void require_name(const std::string& name) const;
    // End tokens of texts, or those of a conversation's turns.
    std::vector<int32_t> end_tokens(bool in_chat) const;

  private:
    ModelFacts facts_;
    tokenizer::Tokenizer tokenizer_;
    TokenTexts token_texts_;
    std::unique_ptr<chat::ChatTemplate> chat_;
    std::string chat_text_;
};

}  // namespace quarot::serve
