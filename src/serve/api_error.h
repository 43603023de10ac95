// Why a request is not answered, as OpenAI's clients read it.
#pragma once

#include <exception>
#include <stdexcept>
#include <string>
#include <utility>

#include "serve/http.h"

namespace quarot::serve {

class ApiError : public std::runtime_error {
  public:
    // param: the field of the body at fault, or empty. code: a word for programs, or empty.
    ApiError(int status, const std::string& message, std::string param = "", std::string code = "")
        : std::runtime_error(message),
          status_(status),
          param_(std::move(param)),
          code_(std::move(code)) {}
    int status() const { return status_; }
    // Of the answer; within a stream it has none.
    void add_header(std::string name, std::string value) {
        headers_.emplace_back(std::move(name), std::move(value));
    }

    // {"error": {"message", "type", "param", "code"}}; 429 and 503 say when to come again.
    std::string body() const;
    HttpResponse response() const;

  private:
    int status_;
    std::string param_, code_;
    Headers headers_;
};

// What an exception of the library means to a client: a setting or text that cannot be is 400,
// pages or bytes that it would take and nobody has 507, the rest 500.
ApiError as_api_error(const std::exception_ptr& failure);

}  // namespace quarot::serve
