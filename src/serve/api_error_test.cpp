// What an error tells a client of OpenAI's interface.
#include "serve/api_error.h"

#include <gtest/gtest.h>

#include <string>

#include "core/error.h"
#include "io/json.h"

namespace quarot::serve {
namespace {

// type, param and code.
std::string words_of(const ApiError& error) {
    const io::Json json = io::Json::parse(error.body(), "error").at("error");
    return json.at("type").dump(-1) + json.at("param").dump(-1) + json.at("code").dump(-1);
}

TEST(ApiError, HasTheWordsThatClientsCompare) {
    EXPECT_EQ(words_of({400, "no", "n"}), R"("invalid_request_error""n"null)");
    EXPECT_EQ(words_of({401, "no", "", "invalid_api_key"}),
              R"("invalid_request_error"null"invalid_api_key")");
    EXPECT_EQ(words_of({403, "no"}), R"("request_forbidden"nullnull)");
    EXPECT_EQ(words_of({405, "no"}), R"("invalid_request_error"null"method_not_supported")");
    EXPECT_EQ(words_of({429, "no"}), R"("requests"null"rate_limit_exceeded")");
    EXPECT_EQ(words_of({503, "no"}), R"("server_error"nullnull)");
}

TEST(ApiError, OfTheLibraryNamesTheSettingAtFault) {
    const ApiError error = as_api_error(
        std::make_exception_ptr(make_error(ErrorCode::Usage, "{} is 7", Setting{"top_p"})));
    EXPECT_EQ(error.status(), 400);
    EXPECT_EQ(words_of(error), R"("invalid_request_error""top_p"null)");
    EXPECT_EQ(as_api_error(std::make_exception_ptr(std::bad_alloc())).status(), 507);
}

TEST(ApiError, SaysWhenToComeAgainAndHowToBeKnown) {
    EXPECT_EQ(ApiError(429, "no").response().headers, (Headers{{"Retry-After", "1"}}));
    EXPECT_EQ(ApiError(503, "no").response().headers, (Headers{{"Retry-After", "1"}}));
    EXPECT_EQ(ApiError(401, "no").response().headers, (Headers{{"WWW-Authenticate", "Bearer"}}));
    EXPECT_EQ(ApiError(400, "no").response().headers, Headers());
}

}  // namespace
}  // namespace quarot::serve
