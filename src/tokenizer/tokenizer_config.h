// What the files beside tokenizer.json add to it: which tokens are bos and eos, and whether they
// are added to a text.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "io/json.h"
#include "tokenizer/files_beside.h"

namespace quarot::tokenizer {

class TokenizerConfig {
  public:
    explicit TokenizerConfig(const FilesBeside& beside);

    // The text of "bos_token" or "eos_token" in tokenizer_config.json or, where that has neither
    // the name nor an added_tokens_decoder, in special_tokens_map.json.
    // nullptr if no file names it.
    struct NamedToken {
        std::string text;
        std::string place;  // for messages
    };
    const NamedToken* named_token(std::string_view name) const;

    // add_bos_token and add_eos_token where they win over the post-processor of tokenizer.json:
    // with the values of tokenizer_class whose makers rebuild it from them (Llama, Code Llama,
    // Gemma, Cohere). Empty elsewhere, where the post-processor alone decides.
    std::optional<bool> adds_bos() const { return adds_bos_; }
    std::optional<bool> adds_eos() const { return adds_eos_; }

  private:
    void read_names(const io::Json& file);

    std::map<std::string, NamedToken, std::less<>> named_;
    std::optional<bool> adds_bos_;
    std::optional<bool> adds_eos_;
};

}  // namespace quarot::tokenizer
