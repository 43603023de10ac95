#include "layering/literals.h"

#include <algorithm>
#include <cctype>

namespace quarot::test {

namespace {

class Scanner {
  public:
    explicit Scanner(std::string_view source) : source_(source) {}

    std::vector<Literal> scan() {
        while (at_ < source_.size()) {
            if (rest().starts_with("//")) {
                skip_to("\n");
            } else if (rest().starts_with("/*")) {
                skip_to("*/");
            } else if (rest().starts_with("R\"") && !follows_word()) {
                take_raw();
            } else if (rest().front() == '"') {
                const int first_line = line();
                found_.push_back({first_line, quoted('"')});
            } else if (rest().front() == '\'' && !follows_word()) {  // else of 1'000
                quoted('\'');
            } else {
                ++at_;
            }
        }
        return std::move(found_);
    }

  private:
    std::string_view rest() const { return source_.substr(at_); }
    int line() {
        const std::string_view passed = source_.substr(counted_, at_ - counted_);
        counted_ = at_;
        line_ += static_cast<int>(std::count(passed.begin(), passed.end(), '\n'));
        return line_;
    }
    bool follows_word() const {
        return at_ > 0 && std::isalnum(static_cast<unsigned char>(source_[at_ - 1])) != 0;
    }

    void skip_to(std::string_view end) {
        at_ = std::min(source_.find(end, at_ + 2), source_.size() - end.size()) + end.size();
    }
    // What is between two of `quote`; goes on behind the second.
    std::string quoted(char quote) {
        const size_t begin = ++at_;
        while (at_ < source_.size() && source_[at_] != quote) at_ += source_[at_] == '\\' ? 2 : 1;
        const size_t end = std::min(at_++, source_.size());
        return std::string(source_.substr(begin, end - begin));
    }
    void take_raw() {
        const int first_line = line();
        const size_t open = source_.find('(', at_);
        const std::string close = ")" + std::string(source_.substr(at_ + 2, open - at_ - 2)) + "\"";
        const size_t end = source_.find(close, open);
        found_.push_back({first_line, std::string(source_.substr(open + 1, end - open - 1))});
        at_ = end + close.size();
    }

    std::string_view source_;
    size_t at_ = 0;
    int line_ = 1;  // of counted_
    size_t counted_ = 0;
    std::vector<Literal> found_;
};

}  // namespace

std::vector<Literal> literals_of(std::string_view source) {
    return Scanner(source).scan();
}

}  // namespace quarot::test
