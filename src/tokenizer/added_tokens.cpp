// A trie is walked from each byte that can begin a token; walks are short because tokens are.
#include "tokenizer/added_tokens.h"

#include <algorithm>
#include <utility>

#include "core/error.h"
#include "io/text.h"
#include "tokenizer/unicode.h"

namespace quarot::tokenizer {
namespace {

constexpr size_t kMaxContent = 1024;  // bytes; bounds the work per byte of text

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
                     .rstrip = flag(json, "rstrip", false)};
    if (token.content.empty() || token.content.size() > kMaxContent) {
        fail(ErrorCode::Corrupt, "{} has {} bytes, expected 1 to {}", json.at("content").place(),
             token.content.size(), kMaxContent);
    }
    if (flag(json, "single_word", false)) {
        fail(ErrorCode::Unsupported, "{}: added token \"{}\" with single_word is not supported",
             json.place(), io::printable(token.content));
    }
    return token;
}

size_t skip_spaces_left(std::string_view text, size_t at, size_t limit) {
    while (at > limit) {
        const size_t before = last_character(text.substr(0, at));
        if (!is_space(character_at(text, before).code)) break;
        at = before;
    }
    return std::max(at, limit);
}

size_t skip_spaces_right(std::string_view text, size_t at) {
    while (at < text.size()) {
        const Character next = character_at(text, at);
        if (!is_space(next.code)) break;
        at = next.end;
    }
    return at;
}

}  // namespace

TokenFinder::TokenFinder(std::vector<AddedToken> tokens) : tokens_(std::move(tokens)) {
    roots_.fill(-1);
    for (size_t i = 0; i < tokens_.size(); ++i) insert(static_cast<int32_t>(i));
}

int32_t TokenFinder::child(int32_t node, uint8_t byte) const {
    int32_t next = nodes_[static_cast<size_t>(node)].first_child;
    while (next >= 0 && nodes_[static_cast<size_t>(next)].byte != byte) {
        next = nodes_[static_cast<size_t>(next)].sibling;
    }
    return next;
}

void TokenFinder::insert(int32_t token) {
    int32_t node = -1;
    for (char c : tokens_[static_cast<size_t>(token)].content) {
        const auto byte = static_cast<uint8_t>(c);
        int32_t next = node < 0 ? roots_[byte] : child(node, byte);
        if (next < 0) {
            next = static_cast<int32_t>(nodes_.size());
            int32_t& head = node < 0 ? roots_[byte] : nodes_[static_cast<size_t>(node)].first_child;
            const int32_t sibling = node < 0 ? -1 : head;
            head = next;
            nodes_.push_back({.byte = byte, .first_child = -1, .sibling = sibling, .token = -1});
        }
        node = next;
    }
    nodes_[static_cast<size_t>(node)].token = token;
}

TokenFinder::Match TokenFinder::longest_at(std::string_view text, size_t at) const {
    Match longest{at, nullptr};
    int32_t node = roots_[static_cast<uint8_t>(text[at])];
    while (node >= 0) {
        ++at;
        const int32_t token = nodes_[static_cast<size_t>(node)].token;
        if (token >= 0) longest = {at, &tokens_[static_cast<size_t>(token)]};
        if (at == text.size()) break;
        node = child(node, static_cast<uint8_t>(text[at]));
    }
    return longest;
}

std::vector<Segment> TokenFinder::segments(std::string_view text) const {
    std::vector<Segment> found;
    size_t done = 0;
    const auto add_text = [&](size_t end) {
        if (done < end) found.push_back({text.substr(done, end - done), std::nullopt});
    };
    for (size_t at = 0; at < text.size();) {
        const Match match = longest_at(text, at);
        if (match.token == nullptr) {
            ++at;
            continue;
        }
        const size_t begin = match.token->lstrip ? skip_spaces_left(text, at, done) : at;
        add_text(begin);
        // What an earlier token swallowed is whitespace and need not be looked at again.
        done = match.token->rstrip ? skip_spaces_right(text, std::max(match.end, done)) : match.end;
        if (begin < done) found.push_back({text.substr(begin, done - begin), match.token->id});
        at = match.end;
    }
    add_text(text.size());
    return found;
}

AddedTokens::AddedTokens(const io::Json* json, const Normalizer& normalizer,
                         Vocabulary& vocabulary) {
    if (json == nullptr) return;
    std::vector<AddedToken> raw;
    std::vector<AddedToken> normalized;
    for (const io::Json& item : json->as_array()) {
        AddedToken token = parse_token(item);
        vocabulary.add(token.content, token.id, item.place());
        if (token.special) special_.insert(token.id);
        if (token.normalized) {
            std::string form = normalizer.apply(token.content);
            if (form.empty()) {
                fail(ErrorCode::Unsupported, "{}: added token \"{}\" is normalized to nothing",
                     item.place(), io::printable(token.content));
            }
            if (form != token.content) forms_[token.id] = form;
            token.content = std::move(form);
            normalized.push_back(std::move(token));
        } else {
            raw.push_back(std::move(token));
        }
    }
    raw_ = TokenFinder(std::move(raw));
    normalized_ = TokenFinder(std::move(normalized));
}

const std::string* AddedTokens::form_to_decode(int32_t id) const {
    const auto found = forms_.find(id);
    return found == forms_.end() ? nullptr : &found->second;
}

}  // namespace quarot::tokenizer
