// What is a word, in roles and in names of templates?
#pragma once

#include <algorithm>
#include <string_view>

namespace quarot::chat {

// Letters and digits of ASCII, _ and -, at least one.
inline bool is_word(std::string_view text) {
    const auto fits = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               c == '_' || c == '-';
    };
    return !text.empty() && std::all_of(text.begin(), text.end(), fits);
}

}  // namespace quarot::chat
