// What does the text of a flag mean as a number, a switch or a list, and which texts are none?
#include "apps/arg_values.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <optional>
#include <string_view>

#include "apps/report.h"
#include "core/checked_math.h"
#include "core/error.h"
#include "io/text.h"

namespace quarot::apps {

namespace {

[[noreturn]] void refuse(const Given& given, const std::string& expected) {
    fail(ErrorCode::Usage, "{} is '{}', expected {}", given.source, io::printable(given.value),
         expected);
}

template <typename Number>
std::optional<Number> parse_number(std::string_view text) {
    Number value{};
    const char *begin = text.data(), *end = begin + text.size();
    const auto result = std::from_chars(begin, end, value);
    if (result.ec != std::errc() || result.ptr != end || text.empty()) return std::nullopt;
    return value;
}

}  // namespace

int64_t as_integer(const Given& given, int64_t min, int64_t max) {
    const auto value = parse_number<int64_t>(given.value);
    if (!value || *value < min || *value > max) {
        const std::string_view text = given.value;
        const bool too_large =
            !value && text.find_first_not_of("0123456789") == text.npos && !text.empty();
        const bool open = max == std::numeric_limits<int64_t>::max();
        if (too_large) refuse(given, fmt::format("at most {}; it is too large", max));
        refuse(given, open ? fmt::format("a whole number of at least {}", min)
                           : fmt::format("a whole number from {} to {}", min, max));
    }
    return *value;
}

std::vector<std::string> as_words(const Given& given) {
    std::vector<std::string> words;
    for (size_t start = 0; start <= given.value.size();) {
        const size_t comma = std::min(given.value.find(',', start), given.value.size());
        words.push_back(given.value.substr(start, comma - start));
        start = comma + 1;
    }
    return words;
}

std::vector<int64_t> as_integers(const Given& given, int64_t min, int64_t max) {
    std::vector<int64_t> values;
    for (std::string& word : as_words(given)) {
        values.push_back(as_integer({given.source, std::move(word)}, min, max));
    }
    return values;
}

float as_number(const Given& given, float min, float max, bool above_min) {
    const auto value = parse_number<float>(given.value);
    const bool fits = value && std::isfinite(*value) && *value <= max &&
                      (above_min ? *value > min : *value >= min);
    if (!fits) {
        const std::string low = fmt::format("a number {} {}", above_min ? "above" : "from", min);
        const bool open = max == std::numeric_limits<float>::max();
        refuse(given, open ? low : low + fmt::format(" to {}", max));
    }
    return *value;
}

bool as_switch(const Given& given) {
    const std::vector<std::string> yes = {"true", "1", "on", "yes"};
    const std::vector<std::string> no = {"false", "0", "off", "no"};
    if (std::count(yes.begin(), yes.end(), given.value) > 0) return true;
    if (std::count(no.begin(), no.end(), given.value) > 0) return false;
    refuse(given, "true or false");
}

std::string as_choice(const Given& given, const std::vector<std::string>& choices) {
    if (std::count(choices.begin(), choices.end(), given.value) == 0) {
        refuse(given, "one of " + joined(choices, ", "));
    }
    return given.value;
}

SettingValue as_setting(const Given& given, const SettingField& field) {
    const SettingValue like = field.get({});
    if (std::holds_alternative<bool>(like)) return as_switch(given);
    std::optional<SettingValue> value;
    if (std::holds_alternative<int64_t>(like)) {
        value = parse_number<int64_t>(given.value);
    } else if (std::holds_alternative<double>(like)) {
        value = parse_number<double>(given.value);
    } else {
        value = given.value;
    }
    if (!value || !field.fits(*value)) refuse(given, field.expected());
    return *value;
}

io::Json as_json_object(const Given& given) {
    std::optional<io::Json> json;
    try {
        json = io::Json::parse(given.value, given.source);
    } catch (const Error&) {
        json.reset();
    }
    if (!json || !json->is_object()) refuse(given, "a JSON object");
    return *json;
}

int64_t as_byte_count(const Given& given) {
    std::string_view digits = given.value;
    int64_t unit = 1;
    const std::string_view letters = "KMGT";
    const size_t letter = digits.empty() ? std::string_view::npos : letters.find(digits.back());
    if (letter != std::string_view::npos) {
        unit = int64_t{1} << (10 * (letter + 1));
        digits.remove_suffix(1);
    }
    const auto count = parse_number<int64_t>(digits);
    const auto bytes = count ? checked_mul(*count, unit) : std::nullopt;
    if (!bytes || *bytes < 1) refuse(given, "a size in bytes such as 500M or 5G");
    return *bytes;
}

std::vector<int32_t> as_ids(const Given& given) {
    std::vector<int32_t> ids;
    for (const std::string& word : as_words(given)) {
        const auto id = parse_number<int32_t>(word);
        if (!id || *id < 0) refuse(given, "token ids such as 1,2,3");
        ids.push_back(*id);
    }
    return ids;
}

}  // namespace quarot::apps
