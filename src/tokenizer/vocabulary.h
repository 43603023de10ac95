// The two-way map of tokens and ids.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "io/json.h"

namespace quarot::tokenizer {

class Vocabulary {
  public:
    // Adds a token; Error{Corrupt} naming `place` if the token or the id is there with another
    // partner. The same pair again changes nothing.
    void add(const std::string& token, int32_t id, const std::string& place);

    // Tokens added from now on are none of the model's: texts have them only as added tokens.
    void end_model() {
        model_tokens_ = tokens_.size();
        model_size_ = size();
    }

    std::optional<int32_t> find(std::string_view token) const;
    std::optional<int32_t> find_in_model(std::string_view token) const;
    const std::string* token(int64_t id) const;  // nullptr if no token has this id
    int64_t size() const { return static_cast<int64_t>(slot_of_id_.size()); }  // highest id + 1
    int64_t model_size() const { return model_size_.value_or(size()); }  // the same of the model's
    const std::deque<std::string>& tokens() const { return tokens_; }    // those of the model first
    size_t model_tokens() const { return model_tokens_.value_or(tokens_.size()); }

  private:
    std::deque<std::string> tokens_;  // stays in place, ids_ points into it
    std::unordered_map<std::string_view, int32_t> ids_;
    std::vector<int32_t> slot_of_id_;  // [size()], index into tokens_ or -1
    std::optional<size_t> model_tokens_;
    std::optional<int64_t> model_size_;
};

// An id as the file has it: Error{Corrupt} outside [0, limits::kTokenIds).
int32_t parse_id(const io::Json& value);

}  // namespace quarot::tokenizer
