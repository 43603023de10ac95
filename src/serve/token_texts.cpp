#include "serve/token_texts.h"

#include <vector>

namespace quarot::serve {

TokenTexts::TokenTexts(const tokenizer::Tokenizer& tokenizer)
    : tokenizer_(tokenizer),
      before_(tokenizer.encode("a", tokenizer::AddBos::None)),
      before_text_(tokenizer.decode(before_, false)) {}

std::string TokenTexts::of(int32_t id) const {
    if (id < 0 || id >= tokenizer_.vocabulary_size()) return "";
    const std::lock_guard lock(mutex_);
    const auto [place, is_new] = known_.try_emplace(id);
    if (!is_new) return place->second;
    std::vector<int32_t> ids = before_;
    ids.push_back(id);
    const std::string whole = tokenizer_.decode(ids, false);
    // Where it changes what stood before, it is decoded by itself.
    place->second = whole.starts_with(before_text_) ? whole.substr(before_text_.size())
                                                    : tokenizer_.decode(std::span(&id, 1), false);
    return place->second;
}

}  // namespace quarot::serve
