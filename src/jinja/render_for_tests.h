// For tests: what a template prints, and how it fails.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/expect_error.h"
#include "jinja/template.h"

namespace quarot::jinja {

// From two texts: a template and a JSON object of its variables.
inline std::string render(std::string_view source, std::string_view json_variables,
                          const Surroundings& around = {}) {
    const io::Json json = io::Json::parse(json_variables, "variables");
    std::vector<Variable> variables;
    for (const auto& [name, value] : json.as_object()) variables.push_back({name, value});
    return Template::parse(source).render(variables, around).bytes();
}

inline std::string printed(std::string_view source, std::string_view variables = "{}") {
    return render(source, variables);
}

inline void expect_failure(ErrorCode code, const std::vector<std::string>& mentions,
                           std::string_view source, std::string_view variables = "{}") {
    expect_error(code, mentions, [&] {
        const std::string text = render(source, variables);
        ADD_FAILURE() << "printed \"" << text.substr(0, 200) << "\"";
    });
}

}  // namespace quarot::jinja
