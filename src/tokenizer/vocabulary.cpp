// Ids may have gaps, so tokens are stored densely and reached through a table of slots.
#include "tokenizer/vocabulary.h"

#include "core/error.h"
#include "io/text.h"
#include "tokenizer/limits.h"

namespace quarot::tokenizer {

void Vocabulary::add(const std::string& token, int32_t id, const std::string& place) {
    const std::optional<int32_t> known = find(token);
    if (known == id) return;
    if (known) {
        fail(ErrorCode::Corrupt,
             "{}: token \"{}\" has id {} here and id {} before, expected one id", place,
             io::printable(token), id, *known);
    }
    if (const std::string* other = this->token(id)) {
        fail(ErrorCode::Corrupt, "{}: id {} of token \"{}\" is that of \"{}\", expected unique ids",
             place, id, io::printable(token), io::printable(*other));
    }
    const auto index = static_cast<size_t>(id);
    if (index >= slot_of_id_.size()) slot_of_id_.resize(index + 1, -1);
    slot_of_id_[index] = static_cast<int32_t>(tokens_.size());
    ids_.emplace(tokens_.emplace_back(token), id);
}

std::optional<int32_t> Vocabulary::find(std::string_view token) const {
    const auto found = ids_.find(token);
    if (found == ids_.end()) return std::nullopt;
    return found->second;
}

std::optional<int32_t> Vocabulary::find_in_model(std::string_view token) const {
    const std::optional<int32_t> id = find(token);
    if (!id) return std::nullopt;
    const auto slot = static_cast<size_t>(slot_of_id_[static_cast<size_t>(*id)]);
    return slot < model_tokens() ? id : std::nullopt;
}

const std::string* Vocabulary::token(int64_t id) const {
    if (id < 0 || id >= size()) return nullptr;
    const int32_t slot = slot_of_id_[static_cast<size_t>(id)];
    return slot < 0 ? nullptr : &tokens_[static_cast<size_t>(slot)];
}

int32_t parse_id(const io::Json& value) {
    return static_cast<int32_t>(value.as_int(0, limits::kTokenIds - 1));
}

}  // namespace quarot::tokenizer
