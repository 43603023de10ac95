// Text to token ids and back, as tokenizer.json says.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/json.h"
#include "tokenizer/files_beside.h"
#include "tokenizer/text_range.h"

namespace quarot::tokenizer {

// Auto: as the model's files say, which is what the post-processor of tokenizer.json does unless
// add_bos_token in tokenizer_config.json wins (tokenizer_config.h says where). On and Off decide on
// bos alone and leave the rest to the files. None: nothing is added on either side, as for a prompt
// that spells its special tokens itself.
enum class AddBos { Auto, On, Off, None };

class Tokenizer {
  public:
    // Reads tokenizer.json of a model folder, and what the files beside it add to it: the names of
    // special tokens, and added tokens that it lacks; or the vocabulary of a GGUF file.
    // Error{NotFound}, Error{Corrupt}, or Error{Unsupported} naming the construct.
    static Tokenizer load(const std::string& model);
    // Whether there is a tokenizer.json, or a GGUF file with a vocabulary; errors of such a file.
    static bool is_there(const std::string& model);
    // Of what the files hold.
    static Tokenizer from_json(const io::Json& tokenizer, const FilesBeside& beside = {});
    Tokenizer(Tokenizer&&) noexcept;
    ~Tokenizer();

    // Any bytes; invalid UTF-8 is replaced by U+FFFD. What is added to them is said at
    // AddBos. In the plain ranges (ascending, disjoint, within the text; else
    // Error{Usage}) special tokens are not recognised, nor where they overlap one: that is how
    // text of a user goes into a prompt. Nothing else changes at their borders.
    std::vector<int32_t> encode(std::string_view text, AddBos bos = AddBos::Auto,
                                std::span<const TextRange> plain = {}) const;

    // The text of the ids; special tokens are left out if skip_special.
    std::string decode(std::span<const int32_t> ids, bool skip_special = true) const;

    int64_t vocabulary_size() const;        // highest id + 1
    int64_t model_vocabulary_size() const;  // the same without added tokens
    const std::string& source() const;      // where it came from, for messages
    // The token as the vocabulary spells it; Error{Usage} if there is no such id.
    const std::string& token(int32_t id) const;
    std::optional<int32_t> id_of(std::string_view token) const;
    bool is_special(int32_t id) const;
    std::optional<int32_t> bos() const;
    std::optional<int32_t> eos() const;

    struct Impl;

  private:
    explicit Tokenizer(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
    friend class StreamDecoder;
};

// Decodes ids one at a time: the concatenation of all put() and the finish() equals decode() of the
// whole, and no piece ends inside a UTF-8 character. The tokenizer must outlive it.
class StreamDecoder {
  public:
    explicit StreamDecoder(const Tokenizer& tokenizer, bool skip_special = true);
    // Goes on behind the text of these ids: put() and finish() give what is added to it. Where new
    // ids change its end (the rest of a character), they give the new end.
    StreamDecoder(const Tokenizer& tokenizer, std::span<const int32_t> before,
                  bool skip_special = true);
    ~StreamDecoder();
    std::string put(int32_t id);
    std::string finish();

  private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace quarot::tokenizer
