#include "io/gguf_metadata.h"

#include <array>
#include <cmath>
#include <utility>

#include "core/error.h"
#include "io/text.h"

namespace quarot::io {

namespace {

constexpr std::array kKindNames = {"true or false",  "an integer",         "a number",
                                   "a text",         "a list of integers", "a list of numbers",
                                   "a list of texts"};

}  // namespace

void GgufMetadata::add(std::string key, GgufValue value) {
    const auto [there, is_new] = values_.try_emplace(std::move(key), std::move(value));
    if (is_new) return;
    fail(ErrorCode::Corrupt, "{} has the key {} twice", source_, printable(there->first));
}

std::string GgufMetadata::place(std::string_view key) const {
    return fmt::format("{}: {}", source_, printable(key));
}

template <typename T>
const T* GgufMetadata::find(std::string_view key, const char* expected) const {
    const auto found = values_.find(key);
    if (found == values_.end()) return nullptr;
    if (const T* value = std::get_if<T>(&found->second)) return value;
    fail(ErrorCode::Corrupt, "{} is {}, expected {}", place(key),
         kKindNames.at(found->second.index()), expected);
}

void GgufMetadata::fail_missing(std::string_view key) const {
    fail(ErrorCode::Corrupt, "{} has no {}, which its model needs", source_, printable(key));
}

std::optional<int64_t> GgufMetadata::find_integer(std::string_view key, int64_t min,
                                                  int64_t max) const {
    const int64_t* value = find<int64_t>(key, "an integer");
    if (value == nullptr) return std::nullopt;
    if (*value >= min && *value <= max) return *value;
    fail(ErrorCode::Corrupt, "{} is {}, expected {} to {}", place(key), *value, min, max);
}

int64_t GgufMetadata::integer(std::string_view key, int64_t min, int64_t max) const {
    if (const auto value = find_integer(key, min, max)) return *value;
    fail_missing(key);
}

std::optional<double> GgufMetadata::find_real(std::string_view key) const {
    const auto found = values_.find(key);
    if (found == values_.end()) return std::nullopt;
    if (const int64_t* whole = std::get_if<int64_t>(&found->second)) {
        return static_cast<double>(*whole);
    }
    const double value = *find<double>(key, "a number");
    if (std::isfinite(value)) return value;
    fail(ErrorCode::Corrupt, "{} is {}, expected a finite number", place(key), value);
}

double GgufMetadata::real(std::string_view key) const {
    if (const auto value = find_real(key)) return *value;
    fail_missing(key);
}

const std::string* GgufMetadata::find_text(std::string_view key) const {
    return find<std::string>(key, "a text");
}

const std::string& GgufMetadata::text(std::string_view key) const {
    if (const std::string* value = find_text(key)) return *value;
    fail_missing(key);
}

const std::vector<std::string>& GgufMetadata::texts(std::string_view key) const {
    if (const auto* value = find<std::vector<std::string>>(key, "a list of texts")) return *value;
    fail_missing(key);
}

std::optional<bool> GgufMetadata::find_flag(std::string_view key) const {
    const bool* value = find<bool>(key, "true or false");
    if (value == nullptr) return std::nullopt;
    return *value;
}

const std::vector<int64_t>* GgufMetadata::find_integers(std::string_view key) const {
    return find<std::vector<int64_t>>(key, "a list of integers");
}

const std::vector<double>* GgufMetadata::find_reals(std::string_view key) const {
    return find<std::vector<double>>(key, "a list of numbers");
}

}  // namespace quarot::io
