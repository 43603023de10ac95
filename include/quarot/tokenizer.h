// Text to token ids and back, as a model's tokenizer.json says.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "quarot/export.h"

namespace quarot {

enum class SpecialTokens { Add, Leave };  // those that tokenizer.json puts around a text

// A handle: copies share one tokenizer, which never changes. Any number of threads may use it.
class QUAROT_API Tokenizer {
  public:
    static Tokenizer load(const std::string& folder);
    Tokenizer(const Tokenizer&);
    Tokenizer(Tokenizer&&) noexcept;
    Tokenizer& operator=(const Tokenizer&);
    Tokenizer& operator=(Tokenizer&&) noexcept;
    ~Tokenizer();

    // Any bytes; what is not UTF-8 counts as U+FFFD.
    std::vector<int32_t> encode(std::string_view text,
                                SpecialTokens special = SpecialTokens::Add) const;
    std::string decode(std::span<const int32_t> ids, bool skip_special = true) const;
    int64_t vocabulary_size() const;  // highest id + 1

    struct Impl;  // the library's own

  private:
    explicit Tokenizer(std::shared_ptr<const Impl> impl);
    std::shared_ptr<const Impl> impl_;
    friend class Model;
    friend class Session;
    friend class StreamDecoder;
};

// Decodes ids as they come: what put() and finish() return, joined, is decode() of all ids, and no
// piece ends inside a character. Used by one thread.
class QUAROT_API StreamDecoder {
  public:
    explicit StreamDecoder(const Tokenizer& tokenizer, bool skip_special = true);
    StreamDecoder(StreamDecoder&&) noexcept;
    StreamDecoder& operator=(StreamDecoder&&) noexcept;
    ~StreamDecoder();

    std::string put(int32_t id);
    std::string finish();

    struct Impl;

  private:
    std::unique_ptr<Impl> impl_;
};

}  // namespace quarot
