// JSON values read under guards and written deterministically; the one place that knows the parser.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "io/limits.h"

namespace quarot::io {

struct JsonLimits {
    int64_t max_bytes = limits::kJsonBytes;
    int max_depth = limits::kJsonDepth;
    int64_t max_values = limits::kJsonValues;  // keeps memory in proportion to honest files
};

// A JSON value. Objects keep the order of their keys. Reading accessors throw
// Error{Corrupt} that names the place ("config.json: rope_scaling.factor is a string, expected a
// number"); the place is set while parsing. The members of a large container share one place.
class Json {
  public:
    using Array = std::vector<Json>;
    using Object = std::vector<std::pair<std::string, Json>>;

    Json();                   // null
    Json(bool value);         // NOLINT(google-explicit-constructor)
    Json(int value);          // NOLINT
    Json(int64_t value);      // NOLINT
    Json(double value);       // NOLINT
    Json(const char* value);  // NOLINT
    Json(std::string value);  // NOLINT
    Json(Array value);        // NOLINT
    Json(Object value);       // NOLINT
    // Defined in json.cpp, because each is much code wherever it is inlined.
    Json(const Json& other);
    Json(Json&& other) noexcept;
    Json& operator=(const Json& other);
    Json& operator=(Json&& other) noexcept;
    ~Json();

    // Refuses, with Error{Corrupt} naming `source`: bad UTF-8, trailing garbage, comments, NaN
    // literals, duplicate keys, non-finite numbers, integers outside int64 are doubles, and
    // anything over the limits.
    static Json parse(std::string_view text, const std::string& source, JsonLimits limits = {});
    // Reads a regular file; Error{NotFound} if missing.
    static Json parse_file(const std::string& path, JsonLimits limits = {});

    bool is_null() const;
    bool is_bool() const;
    bool is_int() const;
    bool is_number() const;  // integer or floating
    bool is_string() const;
    bool is_array() const;
    bool is_object() const;

    bool as_bool() const;
    int64_t as_int() const;
    int64_t as_int(int64_t min, int64_t max) const;  // range checked
    double as_double() const;
    const std::string& as_string() const;
    const Array& as_array() const;
    const Object& as_object() const;
    Array& as_array();
    Object& as_object();

    // Member of an object; at() throws if absent, find() gives nullptr if absent or null-valued.
    const Json& at(std::string_view key) const;
    const Json* find(std::string_view key) const;
    bool contains(std::string_view key) const;
    // Sets or replaces a member, at the end if new. Turns null into an object.
    void set(const std::string& key, Json value);
    void push_back(Json value);  // turns null into an array

    // Where this value stood: "config.json: rope_scaling.factor".
    const std::string& place() const;

    // indent < 0: one line. Numbers print so that they read back equal; non-finite prints null.
    std::string dump(int indent = 2) const;

  private:
    friend class JsonBuilder;

    std::variant<std::monostate, bool, int64_t, double, std::string, Array, Object> value_;
    std::shared_ptr<const std::string> place_;  // null for values made by the program
};

// The value, or null where there is none.
template <typename T>
Json or_null(const std::optional<T>& value) {
    return value ? Json(*value) : Json();
}

}  // namespace quarot::io
