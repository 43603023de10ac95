// What happens to a stretch of text before it is split: the normalizer of tokenizer.json.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "io/json.h"
#include "tokenizer/replace.h"

namespace quarot::tokenizer {

class Normalizer {
  public:
    Normalizer() = default;  // changes nothing
    // `json` is nullptr where the file has null. Error{Unsupported} names a step we do not have.
    explicit Normalizer(const io::Json* json);

    bool changes_nothing() const { return steps_.empty(); }
    std::string apply(std::string text) const;

  private:
    struct Prepend {
        std::string text;
    };
    void add(const io::Json& step);

    std::vector<std::variant<Prepend, Replace>> steps_;
    size_t growth_ = 1;
};

}  // namespace quarot::tokenizer
