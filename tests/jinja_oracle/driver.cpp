// The template interpreter behind a pipe, for comparisons with jinja2: each line of standard input
// is a JSON object {"template": text, "variables": object}, each line of standard output the JSON
// object {"text": text, "user": [[begin, end], ...]} in bytes or {"error": kind, "message": text}.
// An optional "now" is a list: year, month, day, hour, minute, second, day of the week from Sunday,
// day of the year from 1. All strings of the variables are a user's but roles and those of the
// variables whose names end in _token.
#include <cstdio>
#include <iostream>
#include <string>

#include "core/error.h"
#include "io/json.h"
#include "jinja/template.h"

namespace quarot::jinja {
namespace {

const char* kind_of(ErrorCode code) {
    switch (code) {
        case ErrorCode::Usage:
            return "raised";
        case ErrorCode::Unsupported:
            return "unsupported";
        case ErrorCode::Corrupt:
            return "failed";
        default:
            return "internal";
    }
}

std::tm time_of(const io::Json& list) {
    const auto number = [&](size_t i) { return static_cast<int>(list.as_array().at(i).as_int()); };
    std::tm now{};
    now.tm_year = number(0) - 1900;
    now.tm_mon = number(1) - 1;
    now.tm_mday = number(2);
    now.tm_hour = number(3);
    now.tm_min = number(4);
    now.tm_sec = number(5);
    now.tm_wday = number(6);
    now.tm_yday = number(7) - 1;
    return now;
}

io::Json answer(const io::Json& request) {
    io::Json out;
    try {
        Surroundings around;
        if (const io::Json* now = request.find("now")) around.now = time_of(*now);
        std::vector<Variable> variables;
        for (const auto& [name, value] : request.at("variables").as_object()) {
            variables.push_back(
                {name, value, name.ends_with("_token") ? UserText::No : UserText::ExceptRoles});
        }
        const Template parsed = Template::parse(request.at("template").as_string());
        const Text text = parsed.render(variables, around);
        io::Json::Array marks;
        for (const Span& span : text.user()) {
            marks.emplace_back(io::Json::Array{io::Json(static_cast<int64_t>(span.begin)),
                                               io::Json(static_cast<int64_t>(span.end))});
        }
        out.set("text", text.bytes());
        out.set("user", io::Json(std::move(marks)));
    } catch (const Error& error) {
        out.set("error", kind_of(error.code()));
        out.set("message", error.what());
    }
    return out;
}

}  // namespace
}  // namespace quarot::jinja

int main() {
    constexpr quarot::io::JsonLimits kLimits{.max_bytes = int64_t{64} << 20, .max_depth = 64};
    for (std::string line; std::getline(std::cin, line);) {
        const auto request = quarot::io::Json::parse(line, "request", kLimits);
        const std::string text = quarot::jinja::answer(request).dump(-1) + "\n";
        std::fwrite(text.data(), 1, text.size(), stdout);
        std::fflush(stdout);
    }
    return 0;
}
