// The characters of a regular expression, one after another.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace quarot::tokenizer {

bool is_ascii_letter(char32_t code);
char32_t fold_ascii(char32_t code);  // to lower case

class RegexReader {
  public:
    RegexReader(std::string_view pattern, const std::string& place)
        : pattern_(pattern), place_(place) {}

    // Error{Unsupported} that names place, pattern and construct.
    [[noreturn]] void refuse(std::string_view what) const;

    bool at_end() const { return at_ == pattern_.size(); }
    char peek() const { return at_end() ? '\0' : pattern_[at_]; }
    bool looks_at(std::string_view wanted) const {
        return pattern_.substr(at_).starts_with(wanted);
    }
    bool take(std::string_view wanted);  // whether it was there
    char32_t take_character();

    // The one character that an escape stands for, from behind the backslash on; empty, with
    // nothing taken, if it stands for something else.
    std::optional<char32_t> take_escaped_character();

    // A number of repetitions; empty if there is none.
    std::optional<int> take_count();

  protected:
    std::string_view pattern_;
    std::string place_;
    size_t at_ = 0;

  private:
    char32_t take_number(char kind);
};

}  // namespace quarot::tokenizer
