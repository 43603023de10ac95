// Goes through the text of a TOML file: blanks, comments, bare words and quoted texts.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace quarot::apps {

// Every failure is Error{Usage} with the file, the line and the column.
class TomlScanner {
  public:
    // Refuses what no TOML file may hold anywhere: bytes that are not UTF-8, control characters.
    TomlScanner(std::string_view text, std::string path);

    bool at_end() const { return at_ == text_.size(); }
    // '\0' at the end, which no other character is.
    char peek() const { return at_end() ? '\0' : text_[at_]; }
    bool take(char c);  // false, and nothing is taken, if another one comes

    void skip_blanks();  // within the line, a comment included
    void skip_blanks_and_lines();
    // Letters, digits and whatever else may stand in a key, a number or a date; may be empty.
    std::string_view bare_word();
    // The text within quotes, of one line or within three quotes of several.
    std::string quoted_text();
    std::string quoted_line();

    // At what comes next, or at the word or text that came last.
    [[noreturn]] void refuse(const std::string& reason) const;
    [[noreturn]] void refuse_last(const std::string& reason) const;

  private:
    [[noreturn]] void refuse_at(size_t at, const std::string& reason) const;
    bool take_three(char quote);
    std::string quoted(char quote, bool several_lines);
    void take_escape(std::string& to, bool several_lines);
    void take_code_point(std::string& to, size_t n_digits);

    std::string text_;  // line ends are \n
    std::string path_;
    size_t at_ = 0;
    size_t last_ = 0;  // where the last word or text began
};

}  // namespace quarot::apps
