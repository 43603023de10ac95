#include "serve/http.h"

#include <fmt/format.h>

#include <charconv>

namespace quarot::serve {

namespace {

const char* phrase_of(int status) {
    switch (status) {
        case 200:
            return "OK";
        case 400:
            return "Bad Request";
        case 401:
            return "Unauthorized";
        case 403:
            return "Forbidden";
        case 404:
            return "Not Found";
        case 405:
            return "Method Not Allowed";
        case 408:
            return "Request Timeout";
        case 413:
            return "Content Too Large";
        case 415:
            return "Unsupported Media Type";
        case 429:
            return "Too Many Requests";
        case 431:
            return "Request Header Fields Too Large";
        case 500:
            return "Internal Server Error";
        case 503:
            return "Service Unavailable";
        case 505:
            return "HTTP Version Not Supported";
        case 507:
            return "Insufficient Storage";
        default:
            return "Status";
    }
}

}  // namespace

std::string_view HttpRequest::header(std::string_view name) const {
    for (const auto& [key, value] : headers) {
        if (key == name) return value;
    }
    return {};
}

HttpResponse json_response(std::string body, int status) {
    return {.status = status, .body = std::move(body)};
}

std::string unescaped(std::string_view path) {
    std::string text;
    for (size_t at = 0; at < path.size(); ++at) {
        unsigned char byte = 0;
        const char* digits = path.data() + at + 1;
        const bool has_digits = path[at] == '%' && path.size() - at > 2;
        if (has_digits && std::from_chars(digits, digits + 2, byte, 16).ptr == digits + 2) {
            text += static_cast<char>(byte);
            at += 2;
        } else {
            text += path[at];
        }
    }
    return text;
}

std::string head_of(const HttpResponse& response, int64_t content_bytes, bool keep_alive) {
    std::string head = fmt::format("HTTP/1.1 {} {}\r\nContent-Type: {}\r\n", response.status,
                                   phrase_of(response.status), response.content_type);
    for (const auto& [name, value] : response.headers) head += name + ": " + value + "\r\n";
    head += "X-Content-Type-Options: nosniff\r\n";
    head += content_bytes < 0 ? "Transfer-Encoding: chunked\r\n"
                              : fmt::format("Content-Length: {}\r\n", content_bytes);
    head += keep_alive ? "Connection: keep-alive\r\n\r\n" : "Connection: close\r\n\r\n";
    return head;
}

std::string chunk_of(std::string_view bytes) {
    return fmt::format("{:x}\r\n{}\r\n", bytes.size(), bytes);
}

}  // namespace quarot::serve
