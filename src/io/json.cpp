// What a JSON value is and how it is asked for; a wrong kind is the file's fault and says where.
#include "io/json.h"

#include <cmath>

#include "core/error.h"
#include "io/text.h"

namespace quarot::io {

namespace {

const char* kind_of(const Json& json) {
    if (json.is_null()) return "null";
    if (json.is_bool()) return "a boolean";
    if (json.is_int()) return "an integer";
    if (json.is_number()) {
        return std::abs(json.as_double()) < 0x1p63 ? "a fractional number"
                                                   : "a number beyond 64 bits";
    }
    if (json.is_string()) return "a string";
    if (json.is_array()) return "an array";
    return "an object";
}

std::string place_of(const Json& json) {
    return json.place().empty() ? std::string("a JSON value") : json.place();
}

[[noreturn]] void fail_kind(const Json& json, const char* expected) {
    fail(ErrorCode::Corrupt, "{} is {}, expected {}", place_of(json), kind_of(json), expected);
}

template <typename T, typename Variant>
auto& get_or_fail(const Json& json, Variant& value, const char* expected) {
    auto* found = std::get_if<T>(&value);
    if (!found) fail_kind(json, expected);
    return *found;
}

}  // namespace

Json::Json() = default;
Json::Json(bool value) : value_(value) {}
Json::Json(int value) : value_(int64_t{value}) {}
Json::Json(int64_t value) : value_(value) {}
Json::Json(double value) : value_(value) {}
Json::Json(const char* value) : value_(std::string(value)) {}
Json::Json(std::string value) : value_(std::move(value)) {}
Json::Json(Array value) : value_(std::move(value)) {}
Json::Json(Object value) : value_(std::move(value)) {}
Json::Json(const Json& other) = default;
Json::Json(Json&& other) noexcept = default;
Json& Json::operator=(const Json& other) = default;
Json& Json::operator=(Json&& other) noexcept = default;
Json::~Json() = default;

const std::string& Json::place() const {
    static const std::string kNowhere;
    return place_ ? *place_ : kNowhere;
}

bool Json::is_null() const {
    return std::holds_alternative<std::monostate>(value_);
}
bool Json::is_bool() const {
    return std::holds_alternative<bool>(value_);
}
bool Json::is_int() const {
    return std::holds_alternative<int64_t>(value_);
}
bool Json::is_number() const {
    return is_int() || std::holds_alternative<double>(value_);
}
bool Json::is_string() const {
    return std::holds_alternative<std::string>(value_);
}
bool Json::is_array() const {
    return std::holds_alternative<Array>(value_);
}
bool Json::is_object() const {
    return std::holds_alternative<Object>(value_);
}

bool Json::as_bool() const {
    return get_or_fail<bool>(*this, value_, "a boolean");
}

int64_t Json::as_int() const {
    return get_or_fail<int64_t>(*this, value_, "an integer");
}

int64_t Json::as_int(int64_t min, int64_t max) const {
    const int64_t value = as_int();
    if (value < min || value > max) {
        fail(ErrorCode::Corrupt, "{} is {}, expected an integer from {} to {}", place_of(*this),
             value, min, max);
    }
    return value;
}

double Json::as_double() const {
    if (const auto* integer = std::get_if<int64_t>(&value_)) return static_cast<double>(*integer);
    return get_or_fail<double>(*this, value_, "a number");
}

const std::string& Json::as_string() const {
    return get_or_fail<std::string>(*this, value_, "a string");
}

const Json::Array& Json::as_array() const {
    return get_or_fail<Array>(*this, value_, "an array");
}
Json::Array& Json::as_array() {
    return get_or_fail<Array>(*this, value_, "an array");
}

const Json::Object& Json::as_object() const {
    return get_or_fail<Object>(*this, value_, "an object");
}
Json::Object& Json::as_object() {
    return get_or_fail<Object>(*this, value_, "an object");
}

const Json& Json::at(std::string_view key) const {
    for (const auto& [name, value] : as_object()) {
        if (name == key) return value;
    }
    fail(ErrorCode::Corrupt, "{} has no \"{}\"", place_of(*this), printable(key));
}

const Json* Json::find(std::string_view key) const {
    for (const auto& [name, value] : as_object()) {
        if (name == key) return value.is_null() ? nullptr : &value;
    }
    return nullptr;
}

bool Json::contains(std::string_view key) const {
    for (const auto& [name, value] : as_object()) {
        if (name == key) return true;
    }
    return false;
}

void Json::set(const std::string& key, Json value) {
    if (is_null()) value_ = Object{};
    for (auto& [name, member] : as_object()) {
        if (name == key) {
            member = std::move(value);
            return;
        }
    }
    as_object().emplace_back(key, std::move(value));
}

void Json::push_back(Json value) {
    if (is_null()) value_ = Array{};
    as_array().push_back(std::move(value));
}

}  // namespace quarot::io
