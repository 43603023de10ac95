#include "serve/body_fields.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "chat/word.h"
#include "core/error.h"
#include "io/text.h"
#include "serve/api_error.h"
#include "serve/limits.h"

namespace quarot::serve {

namespace {

io::Json parsed(std::string_view body) {
    try {
        io::Json json = io::Json::parse(body, "body",
                                        {.max_bytes = static_cast<int64_t>(limits::kBodyBytes),
                                         .max_depth = limits::kBodyDepth});
        if (json.is_object()) return json;
    } catch (const Error& error) {
        throw ApiError(400, error.what());
    }
    throw ApiError(400, "the body is not a JSON object");
}

}  // namespace

void refuse_field(const std::string& name, const io::Json& value, const std::string& expected) {
    throw ApiError(
        400,
        fmt::format("{} is {}, expected {}", name, io::printable(value.dump(-1), 80), expected),
        name);
}

BodyFields::BodyFields(std::string_view body) : body_(parsed(body)) {}

const io::Json* BodyFields::find(const std::string& name) {
    known_.insert(name);
    return body_.find(name);
}

bool BodyFields::boolean(const std::string& name, bool absent) {
    const io::Json* value = find(name);
    if (value == nullptr) return absent;
    if (!value->is_bool()) refuse_field(name, *value, "true or false");
    return value->as_bool();
}

int64_t BodyFields::integer(const std::string& name, int64_t absent, int64_t min, int64_t max) {
    const io::Json* value = find(name);
    if (value == nullptr) return absent;
    if (!value->is_int() || value->as_int() < min || value->as_int() > max) {
        const bool has_end = max < std::numeric_limits<int64_t>::max();
        refuse_field(name, *value,
                     has_end ? fmt::format("a whole number from {} to {}", min, max)
                             : fmt::format("a whole number, at least {}", min));
    }
    return value->as_int();
}

double BodyFields::number(const std::string& name, double absent, double min, double max) {
    const io::Json* value = find(name);
    if (value == nullptr) return absent;
    if (!value->is_number() || !(value->as_double() >= min && value->as_double() <= max)) {
        refuse_field(name, *value, fmt::format("a number from {} to {}", min, max));
    }
    return value->as_double();
}

std::string BodyFields::text(const std::string& name, const std::string& absent) {
    const io::Json* value = find(name);
    if (value == nullptr) return absent;
    if (!value->is_string()) refuse_field(name, *value, "a text");
    return value->as_string();
}

void BodyFields::refuse(const std::string& name, const io::Json& only) {
    const io::Json* value = find(name);
    if (value == nullptr) return;
    const bool is_nothing = (value->is_bool() && !value->as_bool()) ||
                            (value->is_string() && value->as_string().empty()) ||
                            (value->is_array() && value->as_array().empty());
    if (is_nothing || (!only.is_null() && value->dump(-1) == only.dump(-1))) return;
    throw ApiError(400,
                   fmt::format("{} is {}, which this server does not support", name,
                               io::printable(value->dump(-1), 80)),
                   name);
}

std::string BodyFields::unknown() const {
    constexpr size_t kMost = 16;
    constexpr size_t kLongest = 64;
    std::string names;
    size_t n = 0;
    for (const auto& [name, value] : body_.as_object()) {
        const bool fits = name.size() <= kLongest && chat::is_word(name);
        if (known_.contains(name) || !fits || n == kMost) continue;
        names += (n++ == 0 ? "" : ", ") + name;
    }
    return names;
}

}  // namespace quarot::serve
