// Tokens that ask for it take part in their normalized form, the others as the file spells them.
#include "tokenizer/added_tokens.h"

#include <algorithm>
#include <iterator>
#include <string_view>
#include <utility>

#include "core/error.h"
#include "io/text.h"
#include "tokenizer/limits.h"

namespace quarot::tokenizer {
namespace {

bool flag(const io::Json& token, std::string_view key, bool otherwise) {
    const io::Json* value = token.find(key);
    return value == nullptr ? otherwise : value->as_bool();
}

AddedToken parse_token(const io::Json& json) {
    const bool special = flag(json, "special", false);
    AddedToken token{.id = parse_id(json.at("id")),
                     .content = json.at("content").as_string(),
                     .special = special,
                     .normalized = flag(json, "normalized", !special),
                     .lstrip = flag(json, "lstrip", false),
                     .rstrip = flag(json, "rstrip", false),
                     .single_word = flag(json, "single_word", false)};
    if (token.content.empty() || token.content.size() > limits::kAddedTokenBytes) {
        fail(ErrorCode::Corrupt, "{} has {} bytes, expected 1 to {}", json.at("content").place(),
             token.content.size(), limits::kAddedTokenBytes);
    }
    return token;
}

std::string normalized_form(const AddedToken& token, Normalizer::Worker& normalizer,
                            const std::string& place) {
    std::string form = normalizer.apply(token.content);
    if (form.empty()) {
        fail(ErrorCode::Unsupported, "{}: added token \"{}\" is normalized to nothing", place,
             io::printable(token.content));
    }
    if (form.size() > limits::kAddedTokenBytes) {
        fail(ErrorCode::Unsupported,
             "{}: added token \"{}\" is normalized to {} bytes, expected at "
             "most {}",
             place, io::printable(token.content), form.size(), limits::kAddedTokenBytes);
    }
    return form;
}

}  // namespace

AddedTokens::AddedTokens(const io::Json* json, const Normalizer& normalizer,
                         Vocabulary& vocabulary) {
    if (json == nullptr) return;
    std::vector<AddedToken> raw;
    std::vector<AddedToken> normalized;
    Normalizer::Worker worker(normalizer);
    size_t bytes = 0;
    for (const io::Json& item : json->as_array()) {
        AddedToken token = parse_token(item);
        vocabulary.add(token.content, token.id, item.place());
        if (token.special) special_.insert(token.id);
        if (token.normalized) {
            std::string form = normalized_form(token, worker, item.place());
            if (form != token.content) forms_[token.id] = form;
            token.content = std::move(form);
        }
        bytes += token.content.size();
        if (bytes > limits::kAddedTokensBytes) {
            fail(ErrorCode::Unsupported, "{}: the added tokens have more than {} bytes together",
                 json->place(), limits::kAddedTokensBytes);
        }
        (token.normalized ? normalized : raw).push_back(std::move(token));
    }
    find_left_out(raw, normalized, vocabulary);
    // Of equal forms that of a special token counts, as in the library whose format this is.
    std::vector<AddedToken> special_first;
    for (bool special : {true, false}) {
        std::copy_if(normalized.begin(), normalized.end(), std::back_inserter(special_first),
                     [special](const AddedToken& token) { return token.special == special; });
    }
    raw_ = TokenFinder(std::move(raw));
    normalized_ = TokenFinder(std::move(special_first));
}

void AddedTokens::find_left_out(const std::vector<AddedToken>& raw,
                                const std::vector<AddedToken>& normalized,
                                const Vocabulary& vocabulary) {
    std::unordered_set<std::string_view> contents;
    for (int32_t id : special_) contents.insert(*vocabulary.token(id));
    for (const auto* tokens : {&raw, &normalized}) {
        for (const AddedToken& token : *tokens) {
            if (contents.contains(token.content)) left_out_.insert(token.id);
        }
    }
}

const std::string* AddedTokens::form_to_decode(int32_t id) const {
    const auto found = forms_.find(id);
    return found == forms_.end() ? nullptr : &found->second;
}

}  // namespace quarot::tokenizer
