// Into which pieces is a text cut before byte-pair encoding? The pre_tokenizer of tokenizer.json.
#pragma once

#include <string_view>
#include <variant>
#include <vector>

#include "io/json.h"
#include "tokenizer/split_pattern.h"

namespace quarot::tokenizer {

class PreTokenizer {
  public:
    // `json` is nullptr where the file has null: the text stays whole. Error{Unsupported} names a
    // step or a pattern we do not have.
    explicit PreTokenizer(const io::Json* json);

    // Whether pieces are to be encoded as bytes.
    bool byte_level() const { return byte_level_; }

    // Pieces of a valid UTF-8 text, in order, none empty.
    std::vector<std::string_view> split(std::string_view text) const;

  private:
    struct Digits {
        bool individual;
    };
    using Step = std::variant<Digits, SplitPattern>;

    void add(const io::Json& step);
    void add_split(const io::Json& step);
    void add_byte_level(const io::Json& step);
    static void cut(std::string_view piece, const Digits& step,
                    std::vector<std::string_view>& pieces);
    static void cut(std::string_view piece, const SplitPattern& step,
                    std::vector<std::string_view>& pieces);

    std::vector<Step> steps_;
    bool byte_level_ = false;
};

}  // namespace quarot::tokenizer
