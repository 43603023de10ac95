#include "serve/api_error.h"

#include <fmt/format.h>

#include "core/error.h"
#include "core/log.h"
#include "io/json.h"

namespace quarot::serve {

namespace {

const char* type_of(int status) {
    switch (status) {
        case 401:
        case 403:
            return "authentication_error";
        case 404:
            return "not_found_error";
        case 429:
            return "rate_limit_error";
        default:
            return status < 500 ? "invalid_request_error" : "server_error";
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
    error.set("code", code_.empty() ? io::Json(status_) : io::Json(code_));
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
