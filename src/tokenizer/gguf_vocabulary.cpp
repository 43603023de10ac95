#include "tokenizer/gguf_vocabulary.h"

#include <fmt/format.h>

#include <cstdint>

#include "core/error.h"
#include "io/text.h"
#include "io/utf8.h"
#include "tokenizer/limits.h"

namespace quarot::tokenizer {
namespace {

constexpr std::string_view kTokens = "tokenizer.ggml.tokens";
constexpr std::string_view kTokenKinds = "tokenizer.ggml.token_type";

void check_token(const std::string& token, size_t id, const std::string& place) {
    if (token.size() <= limits::kGgufTokenBytes && io::first_non_utf8(token) == token.size()) {
        return;
    }
    fail(ErrorCode::Corrupt, "{} has \"{}\" at {}, expected UTF-8 of at most {} bytes", place,
         io::printable(token, 40), id, limits::kGgufTokenBytes);
}

}  // namespace

GgufVocabulary::GgufVocabulary(const io::GgufMetadata& metadata)
    : metadata_(&metadata), tokens_(&metadata.texts(kTokens)) {
    if (tokens_->empty() || tokens_->size() > static_cast<size_t>(limits::kTokenIds)) {
        fail(ErrorCode::Corrupt, "{} has {} tokens, expected 1 to {}", metadata.place(kTokens),
             tokens_->size(), limits::kTokenIds);
    }
    const std::vector<int64_t>* kinds = metadata.find_integers(kTokenKinds);
    if (kinds != nullptr && kinds->size() != tokens_->size()) {
        fail(ErrorCode::Corrupt, "{} has {} entries, expected one for each of {} tokens",
             metadata.place(kTokenKinds), kinds->size(), tokens_->size());
    }
    kinds_.reserve(tokens_->size());
    for (size_t id = 0; id < tokens_->size(); ++id) {
        check_token((*tokens_)[id], id, metadata.place(kTokens));
        const int64_t kind = kinds == nullptr ? 1 : (*kinds)[id];
        if (kind < 1 || kind > 6) {
            fail(ErrorCode::Corrupt, "{} has {} at {}, expected 1 to 6",
                 metadata.place(kTokenKinds), kind, id);
        }
        kinds_.push_back(static_cast<TokenKind>(kind));
    }
}

bool GgufVocabulary::is_added(size_t id) const {
    const TokenKind kind = kinds_[id];
    return !tokens()[id].empty() && (kind == TokenKind::Control || kind == TokenKind::Unknown ||
                                     kind == TokenKind::UserDefined);
}

std::optional<size_t> GgufVocabulary::named(std::string_view name) const {
    const std::string key = fmt::format("tokenizer.ggml.{}_token_id", name);
    const auto id = metadata_->find_integer(key, -1, UINT32_MAX);
    if (!id || *id == -1 || *id == UINT32_MAX) return std::nullopt;
    if (*id < std::ssize(tokens())) return static_cast<size_t>(*id);
    fail(ErrorCode::Corrupt, "{} is {}, expected one of {} tokens", metadata_->place(key), *id,
         tokens().size());
}

bool GgufVocabulary::adds(std::string_view name, bool otherwise) const {
    return metadata_->find_flag(fmt::format("tokenizer.ggml.add_{}_token", name))
        .value_or(otherwise);
}

}  // namespace quarot::tokenizer
