// From hostile text to a Json value: every limit is checked while parsing, before memory is spent.
#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "io/file.h"
#include "io/json.h"
#include "io/text.h"
#include "io/utf8.h"

namespace quarot::io {

namespace {

// Values that get a place of their own; the rest share their container's, so that a tokenizer's
// merges cost nothing.
constexpr int64_t kMembersWithPlace = 256;
constexpr int64_t kMaxPlaces = 65536;

}  // namespace

// Receives the parser's events. The parser itself keeps its state on the heap and does not recurse,
// and returning false stops it, so nesting is bounded before it can hurt.
class JsonBuilder {
  public:
    JsonBuilder(std::string_view text, const std::string& source, JsonLimits limits)
        : text_(text), source_(source), limits_(limits) {}

    Json take_root() { return std::move(root_); }
    const std::string& error() const { return error_; }

    bool null() { return add(Json()); }
    bool boolean(bool value) { return add(Json(value)); }
    // The parser sends unsigned literals to number_unsigned, so 0 here was spelled -0.
    bool number_integer(int64_t value) { return add(value == 0 ? Json(-0.0) : Json(value)); }
    bool number_unsigned(uint64_t value) {
        if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
            return add(Json(static_cast<double>(value)));
        }
        return add(Json(static_cast<int64_t>(value)));
    }
    bool number_float(double value, const std::string&) { return add(Json(value)); }
    bool string(std::string& value) { return add(Json(std::move(value))); }
    bool binary(nlohmann::json::binary_t&) { return stop("binary data"); }

    bool start_object(size_t) { return open(Json(Json::Object{})); }
    bool start_array(size_t) { return open(Json(Json::Array{})); }
    bool key(std::string& value) {
        open_.back().key = std::move(value);
        return true;
    }
    bool end_array() {
        open_.pop_back();
        return true;
    }
    bool end_object() {
        const Json::Object& members = open_.back().json->as_object();
        std::vector<std::string_view> keys;
        keys.reserve(members.size());
        for (const auto& member : members) keys.push_back(member.first);
        std::sort(keys.begin(), keys.end());
        const auto twin = std::adjacent_find(keys.begin(), keys.end());
        if (twin != keys.end()) return stop(fmt::format("key \"{}\" twice", printable(*twin)));
        open_.pop_back();
        return true;
    }

    bool parse_error(size_t position, const std::string&, const nlohmann::json::exception& error) {
        const std::string_view before = text_.substr(0, position == 0 ? 0 : position - 1);
        const auto line = std::count(before.begin(), before.end(), '\n') + 1;
        const size_t last_break = before.rfind('\n');
        const size_t column = before.size() - (last_break + 1) + 1;
        return stop(fmt::format("{} at line {}, column {}", reason_of(error), line, column));
    }

  private:
    struct Container {
        Json* json = nullptr;
        std::string key;  // of the member to come
        int64_t members = 0;
        std::shared_ptr<const std::string> later_place;  // shared by members without their own
    };

    // The parser's explanation without its prefix, and without the quoted text of the file.
    static std::string reason_of(const nlohmann::json::exception& error) {
        std::string reason = error.what();
        const size_t start = reason.find(": ");
        if (start != std::string::npos) reason.erase(0, start + 2);
        reason.erase(std::min(reason.size(), reason.find("; last read")));
        return printable(reason);
    }

    bool stop(std::string error) {
        error_ = std::move(error);
        return false;
    }

    bool add(Json value) { return place_value(std::move(value)) != nullptr; }

    bool open(Json container) {
        if (std::ssize(open_) >= limits_.max_depth) {
            return stop(fmt::format("nesting deeper than {}", limits_.max_depth));
        }
        Json* json = place_value(std::move(container));
        if (!json) return false;
        // A container without a place of its own lends its members the one it borrowed.
        const bool borrowed = !open_.empty() && json->place_ == open_.back().later_place;
        open_.push_back({.json = json,
                         .key = {},
                         .members = 0,
                         .later_place = borrowed ? json->place_ : nullptr});
        return true;
    }

    // Puts the value where it belongs. The pointer stays valid while the value is open, because its
    // container grows only after it is closed.
    Json* place_value(Json value) {
        if (++n_values_ > limits_.max_values) {
            stop(fmt::format("more than {} values", limits_.max_values));
            return nullptr;
        }
        value.place_ = next_place();
        if (open_.empty()) {
            root_ = std::move(value);
            return &root_;
        }
        Container& container = open_.back();
        ++container.members;
        if (auto* array = std::get_if<Json::Array>(&container.json->value_)) {
            return &array->emplace_back(std::move(value));
        }
        Json::Object& object = container.json->as_object();
        return &object.emplace_back(std::move(container.key), std::move(value)).second;
    }

    std::shared_ptr<const std::string> next_place() {
        if (open_.empty()) return std::make_shared<const std::string>(source_);
        Container& container = open_.back();
        if (container.later_place != nullptr) return container.later_place;
        if (container.members < kMembersWithPlace && n_places_ < kMaxPlaces) {
            ++n_places_;
            return std::make_shared<const std::string>(own_place(container));
        }
        container.later_place = std::make_shared<const std::string>(fmt::format(
            "{} (in member {} or later)", container.json->place(), container.members + 1));
        return container.later_place;
    }

    std::string own_place(const Container& container) const {
        const bool in_root = open_.size() == 1;
        if (container.json->is_array()) {
            return fmt::format("{}{}[{}]", container.json->place(), in_root ? ": " : "",
                               container.members);
        }
        return fmt::format("{}{}{}", container.json->place(), in_root ? ": " : ".",
                           printable(container.key));
    }

    std::string_view text_;
    const std::string& source_;
    JsonLimits limits_;
    Json root_;
    std::vector<Container> open_;
    int64_t n_values_ = 0;
    int64_t n_places_ = 0;
    std::string error_;
};

Json Json::parse(std::string_view text, const std::string& source, JsonLimits limits) {
    if (static_cast<int64_t>(text.size()) > limits.max_bytes) {
        fail(ErrorCode::Corrupt, "{} has {} bytes of JSON, at most {} are accepted", source,
             text.size(), limits.max_bytes);
    }
    // The parser would skip a byte order mark and take a NUL for the end.
    if (text.starts_with("\xef\xbb\xbf")) {
        fail(ErrorCode::Corrupt, "{} begins with a byte order mark, expected plain JSON", source);
    }
    if (const size_t nul = text.find('\0'); nul != std::string_view::npos) {
        fail(ErrorCode::Corrupt, "{} holds a NUL byte at offset {}, expected JSON text", source,
             nul);
    }
    if (const size_t bad = first_non_utf8(text); bad != text.size()) {
        fail(ErrorCode::Corrupt, "{} is not UTF-8 at byte {}, expected JSON text", source, bad);
    }
    JsonBuilder builder(text, source, limits);
    if (!nlohmann::json::sax_parse(text.begin(), text.end(), &builder)) {
        fail(ErrorCode::Corrupt, "{} is not acceptable JSON: {}", source, builder.error());
    }
    return builder.take_root();
}

Json Json::parse_file(const std::string& path, JsonLimits limits) {
    return parse(read_text(path, limits.max_bytes), path, limits);
}

}  // namespace quarot::io
