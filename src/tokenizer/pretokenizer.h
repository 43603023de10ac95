// Into which pieces is a text cut before byte-pair encoding? The pre_tokenizer of tokenizer.json.
#pragma once

#include <deque>
#include <optional>
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

    class Cutter;

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

// The steps at work on the stretches of one text. Each hands on a piece as soon as it has it, so
// that none but the pieces that are being cut are in memory.
class PreTokenizer::Cutter {
  public:
    // Both must live as long as this.
    Cutter(const PreTokenizer& pretokenizer, const PutPiece& put);

    // Puts the pieces of valid UTF-8, in order, none empty; they live until the call ends. `first`:
    // whether the stretch is what the whole text begins with.
    void cut(std::string_view stretch, bool first);

  private:
    struct Stage {
        explicit Stage(const Step& of);
        const Step* step;
        std::optional<RegexMatcher> matcher;  // of a RegexSplit
        std::string made;                     // what the current piece has been changed to
    };
    void pass(std::string_view piece, bool first, size_t stage);

    std::deque<Stage> stages_;  // a RegexMatcher stays where it is
    const PutPiece* put_;
};

}  // namespace quarot::tokenizer
