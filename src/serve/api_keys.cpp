#include "serve/api_keys.h"

#include <algorithm>

#include "core/error.h"
#include "io/hash.h"
#include "io/input_text.h"
#include "serve/limits.h"

namespace quarot::serve {

namespace {

constexpr size_t kShortestKey = 16;

bool equal(const std::string& a, const std::string& b) {
    unsigned difference = a.size() == b.size() ? 0 : 1;
    for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
        difference |= static_cast<unsigned>(a[i] ^ b[i]);
    }
    return difference == 0;
}

void check_key(const std::string& key, size_t line, const std::string& path) {
    const bool visible = std::ranges::all_of(key, [](char c) { return c > ' ' && c < 0x7f; });
    if (!visible) {
        fail(ErrorCode::Usage, "{}: line {} is no key, expected visible ASCII characters", path,
             line);
    }
    if (key.size() < kShortestKey) {
        fail(ErrorCode::Usage, "{}: the key of line {} has {} characters, expected at least {}",
             path, line, key.size(), kShortestKey);
    }
}

}  // namespace

ApiKeys ApiKeys::of_file(const std::string& path) {
    const std::string text = io::read_input_text(path, limits::kKeyFileBytes);
    ApiKeys keys;
    size_t line = 0;
    for (size_t at = 0; at < text.size();) {
        const size_t end = std::min(text.find('\n', at), text.size());
        std::string key = text.substr(at, end - at);
        at = end + 1;
        ++line;
        if (!key.empty() && key.back() == '\r') key.pop_back();
        if (key.empty() || key.front() == '#') continue;
        check_key(key, line, path);
        keys.digests_.push_back(io::sha256_of_text(key));
        if (keys.digests_.size() > limits::kKeysOfFile) {
            fail(ErrorCode::Usage, "{} has more than {} keys", path, limits::kKeysOfFile);
        }
    }
    if (keys.empty()) fail(ErrorCode::Usage, "{} has no key, expected one a line", path);
    return keys;
}

bool ApiKeys::admit(std::string_view authorization) const {
    if (digests_.empty()) return true;
    constexpr std::string_view kScheme = "Bearer ";
    if (!authorization.starts_with(kScheme)) return false;
    const std::string digest =
        io::sha256_of_text(std::string(authorization.substr(kScheme.size())));
    bool found = false;
    for (const std::string& known : digests_) found = equal(digest, known) || found;
    return found;
}

}  // namespace quarot::serve
