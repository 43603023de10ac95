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

std::optional<bool> given_flag(const io::Json& config, std::string_view key) {
    const io::Json* value = config.find(key);
    if (value == nullptr) return std::nullopt;
    return value->as_bool();
}

}  // namespace

TokenizerConfig::TokenizerConfig(const FilesBeside& beside) {
    const io::Json* config = beside.config;
    if (config != nullptr) read_names(*config);
    const bool is_recent = config != nullptr && config->find("added_tokens_decoder") != nullptr;
    if (!is_recent && beside.special_map != nullptr) read_names(*beside.special_map);
    if (config == nullptr || !rebuilds_post_processor(*config)) return;
    adds_bos_ = given_flag(*config, "add_bos_token");
    adds_eos_ = given_flag(*config, "add_eos_token");
}

// The first file that has a name gives it.
void TokenizerConfig::read_names(const io::Json& file) {
    for (std::string_view name : kNames) {
        const io::Json* value = file.find(name);
        if (value == nullptr) continue;
        const io::Json& text = value->is_object() ? value->at("content") : *value;
        if (text.as_string().empty()) continue;
        named_.emplace(name, NamedToken{text.as_string(), value->place()});
    }
}

const TokenizerConfig::NamedToken* TokenizerConfig::named_token(std::string_view name) const {
    const auto found = named_.find(name);
    return found == named_.end() ? nullptr : &found->second;
}

}  // namespace quarot::tokenizer
