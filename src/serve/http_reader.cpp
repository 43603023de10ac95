#include "serve/http_reader.h"

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <functional>

#include "serve/api_error.h"
#include "serve/limits.h"

namespace quarot::serve {

namespace http = boost::beast::http;

namespace {

using Parser = http::request_parser<http::string_body>;
constexpr std::string_view kEnd = "\r\n\r\n";

std::string lower(std::string_view text) {
    std::string result(text);
    for (char& c : result) {
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    }
    return result;
}

// Beast's views of text are its own in older versions.
template <typename Text>
std::string_view view(const Text& text) {
    return {text.data(), text.size()};
}

std::string_view trimmed(std::string_view text) {
    while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
    while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
    return text;
}

[[noreturn]] void refuse(const std::string& why, int status = 400) {
    throw ApiError(status, why);
}

// Of the lines before the empty one: what Beast would forgive.
void check_lines(std::string_view head) {
    size_t n_lines = 0;
    for (size_t at = 0; at < head.size();) {
        const size_t end = head.find('\n', at);
        if (end == std::string_view::npos || end == at || head[end - 1] != '\r') {
            refuse("a header line does not end in CR LF");
        }
        const std::string_view line = head.substr(at, end - 1 - at);
        if (line.find_first_of(std::string_view("\r\0", 2)) != std::string_view::npos) {
            refuse("a header line has a stray control character");
        }
        if (n_lines > 0 && (line.empty() || line.front() == ' ' || line.front() == '\t')) {
            refuse("a header line is folded");
        }
        at = end + 1;
        if (++n_lines > limits::kHeaderFields + 1) refuse("there are too many header fields", 431);
    }
}

void check_framing(const Parser::value_type& message) {
    const auto n_lengths = message.count(http::field::content_length);
    const auto n_encodings = message.count(http::field::transfer_encoding);
    if (n_lengths + n_encodings > 1) refuse("the body's length is given more than once");
    const std::string_view length = view(message[http::field::content_length]);
    if (length.find_first_not_of("0123456789") != length.npos) {
        refuse("the body's length is no number");
    }
    if (n_encodings == 1 &&
        lower(trimmed(view(message[http::field::transfer_encoding]))) != "chunked") {
        refuse("the only transfer encoding is chunked");
    }
    if (message.count(http::field::host) != 1) refuse("there must be one Host header");
    if (message.target().empty() || message.target().front() != '/') {
        refuse("the target must be a path");
    }
    if (message.version() != 11) refuse("the version must be HTTP/1.1", 505);
}

// Without its body.
HttpRequest request_of(const Parser::value_type& message, bool keep_alive) {
    HttpRequest request;
    request.method = std::string(view(message.method_string()));
    const std::string target(view(message.target()));
    const size_t mark = target.find('?');
    request.path = target.substr(0, mark);
    if (mark != std::string::npos) request.query = target.substr(mark + 1);
    for (const auto& field : message) {
        request.headers.emplace_back(lower(view(field.name_string())),
                                     std::string(view(field.value())));
    }
    request.keep_alive = keep_alive;
    return request;
}

}  // namespace

struct HttpReader::State {
    std::string bytes;  // not parsed yet
    size_t n_searched = 0;
    size_t n_of_request = 0;         // bytes, parsed or not
    std::unique_ptr<Parser> parser;  // from the end of the headers on
    bool expects = false;
    uint64_t n_announced = 0;  // bytes of all chunks so far
    // The limit of bodies in chunks: Beast's own counts a chunk again whenever its line is not yet
    // whole, so that the answer would depend on how the bytes were cut.
    std::function<void(uint64_t, boost::beast::string_view, boost::beast::error_code&)> on_chunk =
        [this](uint64_t size, boost::beast::string_view, boost::beast::error_code& error) {
            if (size > limits::kBodyBytes - n_announced) {
                error = http::error::body_limit;
            } else {
                n_announced += size;
            }
        };

    void feed(bool is_head, size_t n) {
        boost::beast::error_code error;
        size_t n_done = 0;
        while (n_done < n && !parser->is_done()) {
            const size_t n_taken =
                parser->put(boost::asio::buffer(bytes.data() + n_done, n - n_done), error);
            n_done += n_taken;
            if (error == http::error::need_more) break;
            if (error == http::error::body_limit) refuse("the body is longer than 8 MiB", 413);
            if (error == http::error::header_limit) refuse("the headers are too long", 431);
            if (error) refuse("not a request of HTTP/1.1: " + error.message());
            if (is_head && parser->is_header_done()) break;
            if (n_taken == 0) break;
        }
        bytes.erase(0, n_done);
        // A chunk's header or a trailer whose end is not there yet.
        const bool waits = !is_head && !parser->is_done();
        if (waits && bytes.size() > limits::kHeaderBytes) refuse("a chunk's header is too long");
    }

    // True once all headers are there.
    bool read_head() {
        const size_t end = bytes.find(kEnd, n_searched);
        if (end == std::string::npos) {
            n_searched = bytes.size() - std::min(bytes.size(), kEnd.size() - 1);
            if (bytes.size() > limits::kHeaderBytes) refuse("the headers are too long", 431);
            return false;
        }
        if (end > limits::kHeaderBytes) refuse("the headers are too long", 431);
        check_lines(std::string_view(bytes).substr(0, end + 2));
        parser = std::make_unique<Parser>();
        parser->header_limit(static_cast<std::uint32_t>(limits::kHeaderBytes + kEnd.size()));
        parser->body_limit(limits::kBodyBytes);
        parser->eager(true);
        const size_t n_head = end + kEnd.size();
        std::string rest = bytes.substr(n_head);
        bytes.resize(n_head);
        feed(true, n_head);
        if (!parser->is_header_done()) refuse("the headers are not complete");
        bytes = std::move(rest);
        check_framing(parser->get());
        if (parser->chunked()) {
            n_announced = 0;
            parser->body_limit(boost::none);
            parser->on_chunk_header(on_chunk);
        }
        expects = lower(view(parser->get()[http::field::expect])) == "100-continue";
        return true;
    }
};

HttpReader::HttpReader() : state_(std::make_unique<State>()) {}
HttpReader::~HttpReader() = default;
HttpReader::HttpReader(HttpReader&&) noexcept = default;

std::optional<HttpRequest> HttpReader::put(std::string_view bytes) {
    State& state = *state_;
    state.bytes.append(bytes);
    state.n_of_request += bytes.size();
    if (state.parser == nullptr && !state.read_head()) return std::nullopt;
    if (!state.parser->is_done()) state.feed(false, state.bytes.size());
    if (!state.parser->is_done()) {
        constexpr size_t kMost = limits::kHeaderBytes + limits::kBodyBytes + limits::kFramingBytes;
        if (state.n_of_request > kMost) refuse("the chunks take more bytes than a body may", 413);
        return std::nullopt;
    }
    HttpRequest request = request_of(state.parser->get(), state.parser->keep_alive());
    request.body = std::move(state.parser->get().body());
    state.parser.reset();
    state.n_searched = 0;
    state.n_of_request = state.bytes.size();
    state.expects = false;
    return request;
}

bool HttpReader::has_begun() const {
    return state_->parser != nullptr || !state_->bytes.empty();
}

bool HttpReader::has_headers() const {
    return state_->parser != nullptr;
}

std::optional<HttpRequest> HttpReader::head() const {
    if (state_->parser == nullptr || !state_->parser->is_header_done()) return std::nullopt;
    return request_of(state_->parser->get(), state_->parser->keep_alive());
}

bool HttpReader::take_expectation() {
    return std::exchange(state_->expects, false);
}

}  // namespace quarot::serve
