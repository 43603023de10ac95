// Which tokens go before and after a text? The post_processor of tokenizer.json.
#pragma once

#include <cstdint>
#include <vector>

#include "io/json.h"
#include "tokenizer/vocabulary.h"

namespace quarot::tokenizer {

class PostProcessor {
  public:
    // `json` is nullptr where the file has null. Error{Unsupported} names a kind we do not have.
    PostProcessor(const io::Json* json, const Vocabulary& vocabulary);

    const std::vector<int32_t>& before() const { return before_; }
    const std::vector<int32_t>& after() const { return after_; }

  private:
    void add(const io::Json& step, const Vocabulary& vocabulary);
    void claim_template(const io::Json& step);
    void add_template(const io::Json& step, const Vocabulary& vocabulary);

    bool has_template_ = false;
    std::vector<int32_t> before_;
    std::vector<int32_t> after_;
};

}  // namespace quarot::tokenizer
