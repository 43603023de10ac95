// For tests: what a template prints, and how it fails.
#pragma once

#include <string>
#include <string_view>

#include "io/expect_error.h"
#include "jinja/template.h"

namespace quarot::jinja {

inline std::string printed(std::string_view source, std::string_view variables = "{}") {
    return render(source, variables);
}

inline void expect_failure(ErrorCode code, const std::vector<std::string>& mentions,
                           std::string_view source, std::string_view variables = "{}") {
    io::expect_error(code, mentions, [&] {
        const std::string text = render(source, variables);
        ADD_FAILURE() << "printed \"" << text.substr(0, 200) << "\"";
    });
}

}  // namespace quarot::jinja
