#include "serve/assets.h"

#include <fmt/format.h>

#include <cstdint>
#include <string_view>

#include "core/check.h"
#include "io/hash.h"

namespace quarot::serve::assets {

extern const std::string_view kPage, kOpenapi;  // written by the build

namespace {

// What stands between <tag> and </tag>, which are there once.
std::string inside(std::string_view text, const std::string& tag) {
    const std::string open = "<" + tag + ">", close = "</" + tag + ">";
    const size_t begin = text.find(open), end = text.find(close);
    QUAROT_CHECK(begin != text.npos && end != text.npos && begin < end, "{}", tag);
    return std::string(text.substr(begin + open.size(), end - begin - open.size()));
}

uint32_t hex_digit(char c) {
    return static_cast<uint32_t>(c <= '9' ? c - '0' : c - 'a' + 10);
}

// Of hexadecimal digits, an even number.
std::string base64_of_hex(const std::string& hex) {
    constexpr std::string_view kDigits =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string out;
    uint32_t bits = 0, n_bits = 0;
    const auto put = [&] {
        n_bits -= 6;
        out += kDigits[(bits >> n_bits) & 63];
    };
    for (const char c : hex) {
        bits = ((bits << 4) | hex_digit(c)) & 0xFFFF;
        n_bits += 4;
        if (n_bits >= 6) put();
    }
    if (n_bits > 0) {
        bits <<= 6 - n_bits;
        n_bits = 6;
        put();
    }
    while (out.size() % 4 != 0) out += '=';
    return out;
}

std::string digest_of(const std::string& tag) {
    return "'sha256-" + base64_of_hex(io::sha256_of_text(inside(kPage, tag))) + "'";
}

}  // namespace

std::string page() {
    return std::string(kPage);
}

std::string openapi() {
    return std::string(kOpenapi);
}

std::string page_policy() {
    static const std::string policy = fmt::format(
        "default-src 'none'; script-src {}; style-src {}; connect-src 'self'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'",
        digest_of("script"), digest_of("style"));
    return policy;
}

}  // namespace quarot::serve::assets
