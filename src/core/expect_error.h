// For tests: does a call fail with this code, and does its message tell a person what they need?
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "core/error.h"

namespace quarot {

template <typename Call>
void expect_error(ErrorCode code, const std::vector<std::string>& mentions, Call&& call) {
    try {
        call();
        ADD_FAILURE() << "expected an error with code " << static_cast<int>(code);
    } catch (const Error& error) {
        const std::string message = error.what();
        EXPECT_EQ(static_cast<int>(error.code()), static_cast<int>(code)) << message;
        EXPECT_EQ(message.find('\n'), std::string::npos) << message;
        for (const std::string& mention : mentions) {
            EXPECT_NE(message.find(mention), std::string::npos)
                << "\"" << message << "\" does not mention \"" << mention << "\"";
        }
    }
}

}  // namespace quarot
