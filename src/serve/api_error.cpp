#include "serve/api_error.h"

#include <fmt/format.h>

#include "core/error.h"
#include "core/log.h"
#include "io/json.h"

namespace quarot::serve {

namespace {

// OpenAI's words. Of a limit the type says what there were too many of.
const char* type_of(int status) {
    switch (status) {
        case 403:
            return "request_forbidden";
        case 429:
            return "requests";
        default:
            return status < 500 ? "invalid_request_error" : "server_error";
    }
}

// Where whoever refused gave none. A status is no code: clients expect a word or null.
io::Json code_of(int status) {
    switch (status) {
        case 405:
            return "method_not_supported";
        case 429:
            return "rate_limit_exceeded";
        default:
            return {};
    }
}

int status_of(ErrorCode code) {
    switch (code) {
        case ErrorCode::Usage:
        case ErrorCode::Unsupported:
        case ErrorCode::Corrupt:  // a body that is no JSON, a template that fails on a conversation
            return 400;
        case ErrorCode::OutOfMemory:
            return 507;
        case ErrorCode::Interrupted:
        case ErrorCode::Terminated:
            return 503;
        default:
            return 500;
    }
}

}  // namespace

std::string ApiError::body() const {
    io::Json error = io::Json::Object{{"message", what()}, {"type", type_of(status_)}};
    error.set("param", param_.empty() ? io::Json() : io::Json(param_));
    error.set("code", code_.empty() ? code_of(status_) : io::Json(code_));
    return io::Json(io::Json::Object{{"error", std::move(error)}}).dump(-1);
}

HttpResponse ApiError::response() const {
    HttpResponse response = json_response(body(), status_);
    response.headers = headers_;
    if (status_ == 429 || status_ == 503) response.headers.emplace_back("Retry-After", "1");
    if (status_ == 401) response.headers.emplace_back("WWW-Authenticate", "Bearer");
    return response;
}

ApiError as_api_error(const std::exception_ptr& failure) {
    try {
        std::rethrow_exception(failure);
    } catch (const ApiError& error) {
        return error;
    } catch (const Error& error) {
        const int status = status_of(error.code());
        if (status == 500) log_warning("a request failed: {}", error.what());
        return {status, error.what(), error.setting()};
    } catch (const std::bad_alloc&) {
        return {507, "out of memory"};
    } catch (const std::exception& error) {
        log_warning("a request failed: {}", error.what());
        return {500, "internal error"};
    }
}

}  // namespace quarot::serve
