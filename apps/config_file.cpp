// What does the file of --config say about each flag?
#include "apps/config_file.h"

#include <fmt/format.h>

#include "apps/toml_number.h"
#include "apps/toml_scanner.h"
#include "core/error.h"
#include "io/file.h"
#include "io/text.h"

namespace quarot::apps {

namespace {

constexpr int64_t kFileBytes = int64_t{1} << 20;

std::string what_is_there(const TomlScanner& toml) {
    if (toml.at_end()) return "the file ends";
    if (toml.peek() == '\n') return "the line ends";
    const auto byte = static_cast<unsigned char>(toml.peek());
    return byte < 0x80 ? fmt::format("'{}' stands", toml.peek()) : "a special character stands";
}

bool is_quote(char c) {
    return c == '"' || c == '\'';
}

std::string read_key(TomlScanner& toml) {
    if (toml.peek() == '[') toml.refuse("a section, expected flags alone");
    if (is_quote(toml.peek())) return toml.quoted_line();
    const std::string key(toml.bare_word());
    if (key.empty()) {
        toml.refuse(fmt::format("{} where a flag's name should", what_is_there(toml)));
    }
    if (key.find_first_of(".:+") != std::string::npos) {
        toml.refuse_last(fmt::format("{} is no flag's name, expected letters, digits and dashes",
                                     io::printable(key)));
    }
    return key;
}

std::string read_scalar(TomlScanner& toml, const char* expected) {
    if (is_quote(toml.peek())) return toml.quoted_text();
    const std::string word(toml.bare_word());
    if (word == "true" || word == "false") return word;
    const auto number = toml_number(word);
    if (number) return *number;
    const std::string found = word.empty() ? what_is_there(toml) + " where a value should"
                                           : fmt::format("'{}'", io::printable(word));
    toml.refuse_last(fmt::format("{}, expected {}", found, expected));
}

ConfigValue read_value(TomlScanner& toml) {
    if (!toml.take('[')) {
        return {{read_scalar(toml, "a text in quotes, a number, true, false or a list of these")}};
    }
    ConfigValue list{.texts = {}, .is_list = true};
    for (toml.skip_blanks_and_lines(); !toml.take(']'); toml.skip_blanks_and_lines()) {
        list.texts.push_back(read_scalar(toml, "a text in quotes, a number, true or false"));
        toml.skip_blanks_and_lines();
        if (!toml.take(',') && toml.peek() != ']') {
            toml.refuse(what_is_there(toml) + " within a list, expected , or ]");
        }
    }
    return list;
}

std::string read(const std::string& path) {
    try {
        return io::read_text(path, kFileBytes);
    } catch (const Error& error) {
        fail(error.code(), "--config: {}", error.what());
    }
}

}  // namespace

ConfigFile read_config_file(const std::string& path) {
    return parse_config_file(read(path), path);
}

ConfigFile parse_config_file(std::string_view text, const std::string& path) {
    TomlScanner toml(text, path);
    ConfigFile values;
    for (toml.skip_blanks_and_lines(); !toml.at_end(); toml.skip_blanks_and_lines()) {
        const std::string key = read_key(toml);
        if (values.contains(key)) {
            toml.refuse_last(io::printable(key) + " is there twice, expected once");
        }
        toml.skip_blanks();
        if (!toml.take('=')) {
            toml.refuse(what_is_there(toml) + " where = should, after a flag's name");
        }
        toml.skip_blanks();
        values[key] = read_value(toml);
        toml.skip_blanks();
        if (!toml.at_end() && toml.peek() != '\n') {
            toml.refuse(what_is_there(toml) + " after the value, expected the end of the line");
        }
    }
    return values;
}

}  // namespace quarot::apps
