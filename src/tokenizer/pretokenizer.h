// Into which pieces is a text cut before byte-pair encoding? The pre_tokenizer of tokenizer.json.
#pragma once

#include <deque>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "io/json.h"
#include "tokenizer/split_steps.h"
#include "tokenizer/text_steps.h"

namespace quarot::tokenizer {

class PreTokenizer {
  public:
    // `json` is nullptr where the file has null: the text stays whole. Error{Unsupported} names a
    // step or a pattern we do not have.
    explicit PreTokenizer(const io::Json* json);

    // Whether pieces are to be encoded as bytes.
    bool byte_level() const { return byte_level_; }

    // Pieces of a valid UTF-8 text, in order, none empty. `first`: whether the text is what the
    // whole text begins with. Pieces are views into `text` and into what is appended to `owned`.
    std::vector<std::string_view> split(std::string_view text, bool first,
                                        std::deque<std::string>& owned) const;

  private:
    using Step = std::variant<CharacterSplit, WordSplit, LiteralSplit, RegexSplit, KnownSplit,
                              MarkSpaces, PrependSpace, SpellPieces, UnspellPieces>;

    void add(const io::Json& step);
    void add_kind(const io::Json& step, const std::string& type);
    void add_split(const io::Json& step);
    void add_byte_level(const io::Json& step);
    void add_metaspace(const io::Json& step);

    std::vector<Step> steps_;
    size_t growth_ = 1;
    bool byte_level_ = false;
    bool spelled_ = false;  // steps behind ByteLevel see its alphabet
};

}  // namespace quarot::tokenizer
