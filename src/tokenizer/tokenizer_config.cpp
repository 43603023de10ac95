// Keys that are missing, null or empty say nothing; all others of the file are not our business.
#include "tokenizer/tokenizer_config.h"

#include <algorithm>
#include <array>

namespace quarot::tokenizer {
namespace {

constexpr std::array<std::string_view, 2> kNames{"bos_token", "eos_token"};
constexpr std::array<std::string_view, 4> kRebuilding{"Llama", "CodeLlama", "Gemma", "Cohere"};

bool rebuilds_post_processor(const io::Json& config) {
    const io::Json* name = config.find("tokenizer_class");
    if (name == nullptr) return false;
    std::string_view family = name->as_string();
    if (family.ends_with("Fast")) family.remove_suffix(4);
    if (!family.ends_with("Tokenizer")) return false;
    family.remove_suffix(std::string_view("Tokenizer").size());
    return std::find(kRebuilding.begin(), kRebuilding.end(), family) != kRebuilding.end();
}

std::optional<bool> flag(const io::Json& config, std::string_view key) {
    const io::Json* value = config.find(key);
    if (value == nullptr) return std::nullopt;
    return value->as_bool();
}

}  // namespace

TokenizerConfig::TokenizerConfig(const io::Json* json) {
    if (json == nullptr) return;
    for (std::string_view name : kNames) {
        const io::Json* value = json->find(name);
        if (value == nullptr) continue;
        const io::Json& text = value->is_object() ? value->at("content") : *value;
        if (!text.as_string().empty()) named_.emplace(name, text.as_string());
    }
    if (!rebuilds_post_processor(*json)) return;
    adds_bos_ = flag(*json, "add_bos_token");
    adds_eos_ = flag(*json, "add_eos_token");
}

std::optional<std::string> TokenizerConfig::named_token(std::string_view name) const {
    const auto found = named_.find(name);
    if (found == named_.end()) return std::nullopt;
    return found->second;
}

}  // namespace quarot::tokenizer
