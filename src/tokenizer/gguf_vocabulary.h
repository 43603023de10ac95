// The tokens of a GGUF file, checked: texts, what kind each is, and which have a meaning of their
// own.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "io/gguf_metadata.h"

namespace quarot::tokenizer {

enum class TokenKind { Normal = 1, Unknown, Control, UserDefined, Unused, Byte };

class GgufVocabulary {
  public:
    // Reads `metadata`, which must outlive it. Error{Corrupt} unless each text is valid UTF-8 and
    // of a length that tokens have, and has a kind that is known; without a list of kinds all are
    // Normal.
    explicit GgufVocabulary(const io::GgufMetadata& metadata);

    const std::vector<std::string>& tokens() const { return *tokens_; }
    TokenKind kind(size_t id) const { return kinds_[id]; }
    // Found in a text as a whole, before it is cut into pieces.
    bool is_added(size_t id) const;
    // The token that tokenizer.ggml.<name>_token_id names; empty if there is none.
    // Error{Corrupt} if that is no id of a token.
    std::optional<size_t> named(std::string_view name) const;
    // Whether tokenizer.ggml.add_<name>_token is true; `otherwise` where the file does not say.
    bool adds(std::string_view name, bool otherwise) const;

  private:
    const io::GgufMetadata* metadata_;
    const std::vector<std::string>* tokens_;
    std::vector<TokenKind> kinds_;
};

}  // namespace quarot::tokenizer
