#include "tokenizer/declared_tokens.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "core/error.h"
#include "core/log.h"
#include "io/text.h"
#include "tokenizer/limits.h"

namespace quarot::tokenizer {
namespace {

constexpr std::array<std::string_view, 7> kNamedTokens = {
    "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"};
// Lists of texts or tokens, or objects of them by name.
constexpr std::array<std::string_view, 2> kListsOfSpecialTokens = {"additional_special_tokens",
                                                                   "extra_special_tokens"};

bool token_flag(const io::Json& token, std::string_view key, bool otherwise) {
    const io::Json* value = token.find(key);
    return value == nullptr ? otherwise : value->as_bool();
}

AddedToken parse_token(const io::Json& json, int32_t id) {
    const bool special = token_flag(json, "special", false);
    AddedToken token{.id = id,
                     .content = json.at("content").as_string(),
                     .special = special,
                     .normalized = token_flag(json, "normalized", !special),
                     .lstrip = token_flag(json, "lstrip", false),
                     .rstrip = token_flag(json, "rstrip", false),
                     .single_word = token_flag(json, "single_word", false)};
    if (token.content.empty() || token.content.size() > limits::kAddedTokenBytes) {
        fail(ErrorCode::Corrupt, "{} has {} bytes, expected 1 to {}", json.at("content").place(),
             token.content.size(), limits::kAddedTokenBytes);
    }
    return token;
}

AddedToken plain_token(std::string content, int32_t id, bool special) {
    return {.id = id,
            .content = std::move(content),
            .special = special,
            .normalized = !special,
            .lstrip = false,
            .rstrip = false,
            .single_word = false};
}

int32_t parse_key(const std::string& key, const io::Json& token) {
    int32_t id = -1;
    const char* end = key.data() + key.size();
    const auto parsed = std::from_chars(key.data(), end, id);
    if (parsed.ec == std::errc() && parsed.ptr == end && id >= 0 && id < limits::kTokenIds) {
        return id;
    }
    fail(ErrorCode::Corrupt, "{} stands under \"{}\", expected an id from 0 to {}", token.place(),
         io::printable(key), limits::kTokenIds - 1);
}

const std::string& text_of(const io::Json& token) {
    return token.is_object() ? token.at("content").as_string() : token.as_string();
}

struct SpecialName {
    std::string text;
    bool is_listed;  // in a list of those that a chat needs, so that its absence is worth a word
    std::string place;
};

void add_special_names(const io::Json& config, std::vector<SpecialName>& names) {
    for (const std::string_view key : kNamedTokens) {
        const io::Json* token = config.find(key);
        if (token != nullptr) names.push_back({text_of(*token), false, token->place()});
    }
    for (const std::string_view key : kListsOfSpecialTokens) {
        const io::Json* list = config.find(key);
        if (list == nullptr) continue;
        const auto add = [&](const io::Json& token) {
            names.push_back({text_of(token), true, list->place()});
        };
        if (list->is_object()) {
            for (const auto& [name, token] : list->as_object()) add(token);
        } else {
            for (const io::Json& token : list->as_array()) add(token);
        }
    }
    std::erase_if(names, [](const SpecialName& name) { return name.text.empty(); });
}

class Collector {
  public:
    explicit Collector(const Vocabulary& vocabulary) : vocabulary_(vocabulary) {}

    void add_own(const io::Json& tokenizer) {
        const io::Json* list = tokenizer.find("added_tokens");
        if (list == nullptr) return;
        for (const io::Json& item : list->as_array()) {
            add({parse_token(item, parse_id(item.at("id"))), item.place()});
        }
    }

    void add_decoder(const io::Json& decoder) {
        std::vector<DeclaredToken> tokens;
        for (const auto& [key, item] : decoder.as_object()) {
            tokens.push_back({parse_token(item, parse_key(key, item)), item.place()});
        }
        std::sort(tokens.begin(), tokens.end(), [](const DeclaredToken& a, const DeclaredToken& b) {
            return a.token.id < b.token.id;
        });
        for (DeclaredToken& token : tokens) add_if_new(std::move(token));
    }

    void add_by_text(const io::Json& added, const std::vector<SpecialName>& special) {
        for (const auto& [content, id] : added.as_object()) {
            const bool is_special =
                std::any_of(special.begin(), special.end(),
                            [&](const SpecialName& name) { return name.text == content; });
            add_if_new({plain_token(content, parse_id(id), is_special), added.place()});
        }
    }

    void add_special(const SpecialName& name) {
        if (contents_.contains(name.text)) return;
        if (const std::optional<int32_t> id = vocabulary_.find(name.text)) {
            add({plain_token(name.text, *id, true), name.place});
        } else if (name.is_listed) {
            log_warning("{} names \"{}\", which has no id in any file; it stays plain text",
                        name.place, io::printable(name.text));
        }
    }

    std::vector<DeclaredToken> take() { return std::move(tokens_); }

  private:
    void add(DeclaredToken token) {
        contents_.insert(token.token.content);
        text_of_id_.emplace(token.token.id, token.token.content);
        tokens_.push_back(std::move(token));
    }

    void add_if_new(DeclaredToken declared) {
        const AddedToken& token = declared.token;
        if (contents_.contains(token.content)) return;
        const std::optional<int32_t> known = vocabulary_.find(token.content);
        const std::string* owner = owner_of(token.id);
        const bool is_taken = owner != nullptr && *owner != token.content;
        if (!is_taken && known.value_or(token.id) == token.id) return add(std::move(declared));
        log_warning("{}: \"{}\" has id {}, {}; it stays plain text", declared.place,
                    io::printable(token.content), token.id,
                    is_taken ? fmt::format("which is that of \"{}\"", io::printable(*owner))
                             : fmt::format("but {} in tokenizer.json", *known));
    }

    const std::string* owner_of(int32_t id) const {
        const auto added = text_of_id_.find(id);
        return added == text_of_id_.end() ? vocabulary_.token(id) : &added->second;
    }

    const Vocabulary& vocabulary_;
    std::vector<DeclaredToken> tokens_;
    std::unordered_set<std::string> contents_;
    std::unordered_map<int32_t, std::string> text_of_id_;
};

}  // namespace

std::vector<DeclaredToken> declared_tokens(const io::Json& tokenizer, const FilesBeside& beside,
                                           const Vocabulary& vocabulary) {
    Collector collector(vocabulary);
    collector.add_own(tokenizer);
    const io::Json* decoder =
        beside.config == nullptr ? nullptr : beside.config->find("added_tokens_decoder");
    std::vector<SpecialName> special;
    if (beside.config != nullptr) add_special_names(*beside.config, special);
    if (decoder != nullptr) {
        collector.add_decoder(*decoder);
    } else {
        if (beside.special_map != nullptr) add_special_names(*beside.special_map, special);
        if (beside.added_tokens != nullptr) collector.add_by_text(*beside.added_tokens, special);
    }
    for (const SpecialName& name : special) collector.add_special(name);
    return collector.take();
}

}  // namespace quarot::tokenizer
