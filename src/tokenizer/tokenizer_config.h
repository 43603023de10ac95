// What tokenizer_config.json adds to tokenizer.json: which tokens are bos and eos, and whether they
// are added to a text.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "io/json.h"

namespace quarot::tokenizer {

class TokenizerConfig {
  public:
    // nullptr for a folder without the file.
    explicit TokenizerConfig(const io::Json* json);

    // The text of "bos_token" or "eos_token".
    std::optional<std::string> named_token(std::string_view name) const;

    // add_bos_token and add_eos_token where they win over the post-processor of tokenizer.json:
    // with the values of tokenizer_class whose makers rebuild it from them (Llama, Code Llama,
    // Gemma, Cohere). Empty elsewhere, where the post-processor alone decides.
    std::optional<bool> adds_bos() const { return adds_bos_; }
    std::optional<bool> adds_eos() const { return adds_eos_; }

  private:
    std::map<std::string, std::string, std::less<>> named_;
    std::optional<bool> adds_bos_;
    std::optional<bool> adds_eos_;
};

}  // namespace quarot::tokenizer
