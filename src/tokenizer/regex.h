// Regular expressions that no code of ours knows: where in a text do they match?
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace quarot::tokenizer {

class Regex {
  public:
    // `pattern` as tokenizer.json has it; Error{Unsupported} naming `place` for what we do not
    // have.
    Regex(const std::string& pattern, const std::string& place);

    bool may_be_empty() const;  // whether a match may be

  private:
    struct Code;
    std::shared_ptr<const Code> code_;
    friend class RegexMatcher;
};

// Searches texts, one after another; one per thread. All its work is bounded by a multiple of the
// texts' length together: Error{OutOfMemory} where an expression needs more.
class RegexMatcher {
  public:
    explicit RegexMatcher(const Regex& regex);
    ~RegexMatcher();
    RegexMatcher(const RegexMatcher&) = delete;
    RegexMatcher& operator=(const RegexMatcher&) = delete;

    struct Match {
        size_t begin;
        size_t end;
    };

    // All matches in a valid UTF-8 text, from the left, not overlapping. An empty match right
    // behind another match is none, nor is there one in an empty text.
    template <typename Visit>
    void for_each(std::string_view text, Visit visit) {
        begin(text);
        while (const std::optional<Match> match = next()) visit(match->begin, match->end);
    }

  private:
    struct State;
    void begin(std::string_view text);
    std::optional<Match> next();
    std::optional<Match> search(size_t from);
    std::optional<Match> match_at(size_t at);
    int run(size_t at, size_t window, bool counting);
    [[noreturn]] void give_up(std::string_view what) const;

    const Regex::Code* code_;
    std::unique_ptr<State> state_;
};

}  // namespace quarot::tokenizer
