// Bytes of a connection to requests: Beast's parser behind our limits.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "serve/http.h"

namespace quarot::serve {

// Takes what a socket gives, in any pieces. Refuses, with an ApiError: headers over the limits
// (431), bodies or the framing of their chunks over them (413), HTTP/1.0 (505), and as 400 whatever
// two readers could take for different requests: lines that are folded or end in a bare LF, a body
// with both a length and chunks or two lengths, targets that are not paths, no Host or several.
// After an error the connection is lost.
class HttpReader {
  public:
    HttpReader();
    ~HttpReader();
    HttpReader(HttpReader&&) noexcept;

    // The next request, if it is complete; what came behind it stays for the one after.
    std::optional<HttpRequest> put(std::string_view bytes);

    bool has_begun() const;    // some of a request is there
    bool has_headers() const;  // and all of its headers
    // The request without its body, once its headers are there.
    std::optional<HttpRequest> head() const;
    // Once for each request whose client waits for "100 Continue" before it sends a body.
    bool take_expectation();

  private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace quarot::serve
