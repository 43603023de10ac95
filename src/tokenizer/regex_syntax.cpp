// A descent over the grammar: what is known to mean the same is passed on, what means something
// else is said in other words, everything else is refused.
#include "tokenizer/regex_syntax.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "core/error.h"
#include "io/text.h"
#include "tokenizer/limits.h"
#include "tokenizer/regex_reader.h"
#include "tokenizer/unicode.h"

namespace quarot::tokenizer {
namespace {

// Letters that together, ignoring case, are also one character (as in U+00DF or U+FB01).
bool fold_together(char32_t first, char32_t second) {
    const char32_t a = fold_ascii(first);
    const char32_t b = fold_ascii(second);
    return (a == 's' && (b == 's' || b == 't')) || (a == 'f' && (b == 'f' || b == 'i' || b == 'l'));
}

class Translation : RegexReader {
  public:
    Translation(std::string_view pattern, const std::string& place, const RegexClasses& classes)
        : RegexReader(pattern, place), classes_(classes) {}

    std::string all() {
        if (take("(?i)")) {
            ignore_case_ = true;
            out_ = "(?i)";
        }
        alternatives(0);
        if (!at_end()) refuse("a parenthesis that closes nothing");
        return std::move(out_);
    }

  private:
    // Whether what is taken may match nothing.
    bool alternatives(int depth) {
        if (depth > limits::kPatternDepth) refuse("too many groups within each other");
        for (bool may_be_empty = false;;) {
            bool all_empty = true;
            while (!at_end() && peek() != '|' && peek() != ')') {
                if (!item(depth)) all_empty = false;
            }
            before_ = 0;
            may_be_empty = may_be_empty || all_empty;
            if (!take("|")) return may_be_empty;
            out_ += '|';
        }
    }

    bool item(int depth) {
        const size_t begin = out_.size();
        const Atom kind = atom(depth);
        const bool not_empty = kind == Atom::Character || kind == Atom::Text;
        return quantifier(begin, kind) || !not_empty;
    }

    enum class Atom { Character, Text, MayBeEmpty, Assertion };

    Atom atom(int depth) {
        switch (peek()) {
            case '(':
                return group(depth);
            case '[':
                bracket();
                return Atom::Character;
            case '.':
                ++at_;
                before_ = 0;
                out_ += "[^\\n]";
                return Atom::Character;
            case '^':
                return assertion(1, "(?:\\A|(?<=\\n)(?!\\z))");
            case '$':
                return assertion(1, "(?:\\z|(?=\\n))");
            case '\\':
                return escape();
            case '*':
            case '+':
            case '?':
            case '{':
                refuse("a repetition of nothing");
            default:
                literal(take_character());
                return Atom::Character;
        }
    }

    Atom assertion(size_t length, std::string_view meaning) {
        at_ += length;
        before_ = 0;
        out_ += meaning;
        return Atom::Assertion;
    }

    void literal(char32_t code) {
        if (ignore_case_ && (code >= 0x80 || fold_together(before_, code))) {
            refuse("a character whose other cases may be several characters");
        }
        before_ = code;
        out_ += escaped(code);
    }

    Atom group(int depth) {
        const bool outer_case = ignore_case_;
        bool looks_around = false;
        if (!looks_at("(?")) {
            ++at_;
            out_ += "(?:";  // nobody asks what a group has matched
        } else if (take("(?i:")) {
            ignore_case_ = true;
            out_ += "(?i:";
        } else if (take("(?:")) {
            out_ += "(?:";
        } else if (take("(?>")) {
            out_ += "(?>";
        } else {
            looks_around = true;
            const size_t length = looks_at("(?<") ? 4 : 3;
            const std::string_view opening = pattern_.substr(at_, length);
            if (opening != "(?=" && opening != "(?!" && opening != "(?<=" && opening != "(?<!") {
                refuse("this kind of group");
            }
            at_ += length;
            out_ += opening;
        }
        before_ = 0;
        const bool may_be_empty = alternatives(depth + 1);
        if (!take(")")) refuse("a parenthesis that is never closed");
        out_ += ')';
        ignore_case_ = outer_case;
        if (looks_around) return Atom::Assertion;
        return may_be_empty ? Atom::MayBeEmpty : Atom::Text;
    }

    Atom escape() {
        ++at_;
        if (const auto code = take_escaped_character()) {
            literal(*code);
            return Atom::Character;
        }
        switch (peek()) {
            case 'A':
                return assertion(1, "\\A");
            case 'z':
                return assertion(1, "\\z");
            case 'Z':
                return assertion(1, "(?=\\n?\\z)");
            case 'b':
                return word_border("(?<=[{0}])(?![{0}])|(?<![{0}])(?=[{0}])");
            case 'B':
                return word_border("(?<=[{0}])(?=[{0}])|(?<![{0}])(?![{0}])");
            default:
                break;
        }
        before_ = 0;
        const Set set = take_set();
        out_ += set.negated ? "[^" : "[";
        out_ += set.inside;
        out_ += ']';
        return Atom::Character;
    }

    Atom word_border(fmt::format_string<const std::string&> meaning) {
        const std::string words = classes_.words();
        return assertion(1, "(?:" + fmt::format(meaning, words) + ")");
    }

    struct Set {
        std::string inside;
        bool negated;
    };

    // \s \d \w \h, their negations, \p{..} and \P{..}, from behind the backslash on.
    Set take_set() {
        const char kind = peek();
        ++at_;
        switch (kind) {
            case 's':
                return {classes_.spaces(), false};
            case 'S':
                return {classes_.spaces(), true};
            case 'd':
            case 'D':
                return {classes_.property("Nd"), kind == 'D'};
            case 'w':
            case 'W':
                return {classes_.words(), kind == 'W'};
            case 'h':
            case 'H':
                return {"0-9A-Fa-f", kind == 'H'};
            case 'p':
            case 'P':
                return take_property(kind == 'P');
            default:
                --at_;
                refuse("this escape");
        }
    }

    Set take_property(bool negated) {
        if (ignore_case_) refuse("a property where case is ignored");
        if (!take("{")) refuse("a property without braces");
        if (take("^")) negated = !negated;
        const size_t end = pattern_.find('}', at_);
        const std::string inside =
            end == std::string_view::npos ? "" : classes_.property(pattern_.substr(at_, end - at_));
        if (inside.empty()) refuse("this property");
        at_ = end + 1;
        return {inside, negated};
    }

    void bracket() {
        ++at_;
        before_ = 0;
        const bool negated = take("^");
        out_ += negated ? "[^" : "[";
        bool first = true;
        while (peek() != ']' || first) {
            if (at_end()) refuse("a bracket that is never closed");
            bracket_item(negated, first);
            first = false;
        }
        ++at_;
        out_ += ']';
    }

    void bracket_item(bool negated, bool first) {
        const std::string_view rest = pattern_.substr(at_);
        if (rest[0] == '[' || rest.starts_with("&&")) refuse("a set within or beside a set");
        if (rest[0] == ']') refuse("a bracket that begins with the closing one");
        if (rest[0] == '-' && !first && !rest.starts_with("-]")) refuse("a hyphen in the middle");
        std::optional<char32_t> from;
        if (take("\\")) {
            from = peek() == 'b' ? std::nullopt : take_escaped_character();
            if (!from) return bracket_set();
        } else {
            from = take_character();
        }
        check_case(*from, negated);
        out_ += escaped(*from);
        if (peek() != '-' || looks_at("-]")) return;
        ++at_;
        if (at_end() || peek() == '[') refuse("a range without an end");
        const auto to = take("\\") ? take_escaped_character() : take_character();
        if (!to || *to < *from) refuse("a range without an end");
        check_case(*to, negated);
        out_ += '-';
        out_ += escaped(*to);
    }

    void bracket_set() {
        const bool non_spaces = peek() == 'S';
        const bool words = peek() == 'w';
        const Set set = take_set();
        if (set.negated && !non_spaces) refuse("a negated set within brackets");
        if (peek() == '-' && !looks_at("-]")) refuse("a range from a set");
        out_ += non_spaces ? classes_.non_spaces()
                : words    ? classes_.words_in_brackets()
                           : set.inside;
    }

    void check_case(char32_t code, bool negated) const {
        if (!ignore_case_) return;
        if (code >= 0x80 || (negated && is_ascii_letter(code))) {
            refuse("this set where case is ignored");
        }
    }

    // Whether it allows for none.
    bool quantifier(size_t begin, Atom kind) {
        const char c = peek();
        if (at_end() || (c != '*' && c != '+' && c != '?' && c != '{')) return false;
        if (kind == Atom::Assertion) refuse("a repeated assertion");
        before_ = 0;
        bool none = c == '*' || c == '?';
        if (c == '{') {
            // Engines disagree on when to stop repeating nothing.
            if (kind == Atom::MayBeEmpty) refuse("a counted group that may be empty");
            none = interval(begin, kind);
        } else {
            ++at_;
            out_ += c;
            if (peek() == '?' || peek() == '+') out_ += pattern_[at_++];  // lazy or possessive
        }
        const char next = peek();
        if (!at_end() && (next == '*' || next == '+' || next == '?' || next == '{')) {
            refuse("a repetition of a repetition");
        }
        return none;
    }

    // {n}, {n,}, {n,m} and {,m}: whether it allows for none. A plus behind it repeats the whole, it
    // does not make it possessive.
    bool interval(size_t begin, Atom kind) {
        const size_t end = out_.size();
        ++at_;
        const std::optional<int> least = take_count();
        const bool open = take(",");
        const std::optional<int> most = open ? take_count() : least;
        if (!take("}") || (!least && !most) || (least && most && *least > *most)) {
            refuse("a brace that counts nothing");
        }
        out_ += fmt::format("{{{}{}", least.value_or(0), open ? "," : "");
        if (open && most) out_ += std::to_string(*most);
        out_ += '}';
        if (peek() == '?' && !open) refuse("a lazy exact count");
        const bool lazy = take("?");
        if (lazy) out_ += '?';
        if (!take("+")) return least.value_or(0) == 0;
        const bool all_ends = least == 1 || (least.value_or(0) == 0 && !lazy && most != 0);
        if (kind == Atom::Character && all_ends) {
            // The same ends in the same order, but each in one way only: searching through all ways
            // to add up counts takes exponential time.
            out_.resize(end);
            out_ += least == 1 ? '+' : '*';
        } else {
            out_.insert(begin, "(?:");
            out_ += ")+";
        }
        return least.value_or(0) == 0;
    }

    RegexClasses classes_;
    std::string out_;
    bool ignore_case_ = false;
    char32_t before_ = 0;  // the literal that the next one follows, 0 if there is none
};

}  // namespace

std::string to_pcre2(std::string_view pattern, const std::string& place,
                     const RegexClasses& classes) {
    if (pattern.size() > limits::kPatternBytes) {
        fail(ErrorCode::Unsupported, "{}: the expression has {} bytes, expected at most {}", place,
             pattern.size(), limits::kPatternBytes);
    }
    return Translation(pattern, place, classes).all();
}

}  // namespace quarot::tokenizer
