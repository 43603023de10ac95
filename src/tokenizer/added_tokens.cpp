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

AddedTokens::AddedTokens(std::vector<DeclaredToken> declared, const Normalizer& normalizer,
                         Vocabulary& vocabulary) {
    std::vector<AddedToken> raw;
    std::vector<AddedToken> normalized;
    Normalizer::Worker worker(normalizer);
    size_t bytes = 0;
    for (auto& [token, place] : declared) {
        vocabulary.add(token.content, token.id, place);
        if (token.special) special_.insert(token.id);
        if (token.normalized) {
            std::string form = normalized_form(token, worker, place);
            if (form != token.content) forms_[token.id] = form;
            token.content = std::move(form);
        }
        bytes += token.content.size();
        if (bytes > limits::kAddedTokensBytes) {
            fail(ErrorCode::Unsupported, "{}: the added tokens have more than {} bytes together",
                 place, limits::kAddedTokensBytes);
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
