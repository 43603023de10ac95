// What happens to a stretch of text before it is split: the normalizer of tokenizer.json.
#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "io/json.h"
#include "tokenizer/normalization.h"
#include "tokenizer/plain_ranges.h"
#include "tokenizer/replace.h"

namespace quarot::tokenizer {

class Normalizer {
  public:
    Normalizer() = default;  // changes nothing
    // `json` is nullptr where the file has null. Error{Unsupported} names a step we do not have.
    explicit Normalizer(const io::Json* json);

    struct Normalized {
        std::string text;
        bool keeps_start = true;  // what it begins with comes from the original's first character
        std::vector<TextRange> plain = {};  // where the ranges of the original are now
        size_t range_steps = 0;             // that moving them has taken
    };

    bool changes_nothing() const { return steps_.empty(); }
    class Worker;

  private:
    struct Prepend {
        std::string text;
    };
    struct Strip {  // of whitespace
        bool left;
        bool right;
    };
    struct LowerCase {};
    struct SpellBytes {};
    using Step = std::variant<Prepend, Replace, Strip, LowerCase, SpellBytes, NormalForm>;

    void add(const io::Json& step);
    static void change(const Prepend& step, Normalized& text, RangeMover& ranges);
    static void change(Replace::Worker& replace, Normalized& text, RangeMover& ranges);
    static void change(const Strip& step, Normalized& text, RangeMover& ranges);
    static void change(const LowerCase& step, Normalized& text, RangeMover& ranges);
    static void change(const SpellBytes& step, Normalized& text, RangeMover& ranges);
    static void change(NormalForm step, Normalized& text, RangeMover& ranges);

    std::vector<Step> steps_;
    size_t growth_ = 1;
};

// The steps at work on texts, one after another; one per thread. What expressions may cost is
// bounded over all of them together.
class Normalizer::Worker {
  public:
    explicit Worker(const Normalizer& normalizer);  // which must live as long as this

    // `plain`: ranges of the text, ascending and disjoint.
    Normalized normalize(std::string text, std::vector<TextRange> plain = {});
    std::string apply(std::string text) { return normalize(std::move(text)).text; }

  private:
    const std::vector<Step>* steps_;
    std::vector<std::optional<Replace::Worker>> replaces_;  // of those steps that are a Replace
};

}  // namespace quarot::tokenizer
