// Requests and answers of HTTP/1.1, without sockets.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace quarot::serve {

using Headers = std::vector<std::pair<std::string, std::string>>;

struct HttpRequest {
    std::string method;
    std::string path;   // of the target, as sent, without the query
    std::string query;  // behind '?'
    Headers headers;    // names in lower case
    std::string body;
    std::string peer;  // address of the client
    bool from_loopback = true;
    bool keep_alive = true;

    // Empty if there is none.
    std::string_view header(std::string_view name) const;
};

struct HttpResponse {
    int status = 200;
    std::string content_type = "application/json";
    Headers headers;
    std::string body;
};

HttpResponse json_response(std::string body, int status = 200);

// "a%2Fb" as "a/b"; what is no escape stays.
std::string unescaped(std::string_view path);

// Status line and headers, up to and with the empty line. content_bytes < 0: chunks follow.
std::string head_of(const HttpResponse& response, int64_t content_bytes, bool keep_alive);
std::string chunk_of(std::string_view bytes);  // not empty
inline constexpr std::string_view kLastChunk = "0\r\n\r\n";

// The way back to the client of one request. Any thread may call it; exactly one answer is given:
// respond(), or begin_stream(), any send() and end_stream(). After the client has gone all calls do
// nothing.
class Exchange {
  public:
    virtual ~Exchange() = default;
    virtual void respond(HttpResponse response) = 0;
    virtual void begin_stream(HttpResponse head) = 0;
    virtual void send(std::string bytes) = 0;
    virtual void end_stream() = 0;
    // Bytes sent that the client has not taken.
    virtual size_t backlog() const = 0;
    // Cuts the connection.
    virtual void drop() = 0;
    // Called once, on the server's thread, if the client leaves before the answer is complete; soon
    // if it has left, but not before on_gone() returns.
    virtual void on_gone(std::function<void()> callback) = 0;
    // For the access log.
    virtual void account(int64_t prompt_tokens, int64_t new_tokens) = 0;
};

}  // namespace quarot::serve
