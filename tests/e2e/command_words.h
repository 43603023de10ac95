// Command lines that are right but for the flags that follow.
#pragma once

#include <string>
#include <vector>

namespace quarot::test {

using Words = std::vector<std::string>;

inline Words with_flags(Words words, const Words& flags) {
    words.insert(words.end(), flags.begin(), flags.end());
    return words;
}

inline Words perplexity(const Words& flags) {
    return with_flags({"perplexity", "MODEL", "--text", "TEXT", "--json", "-v"}, flags);
}
inline Words generate(const Words& flags) {
    return with_flags({"generate", "-m", "MODEL", "-p", "abc", "-n", "2", "--ignore-eos", "--json"},
                      flags);
}
inline Words tokenize(const Words& flags) {
    return with_flags({"tokenize", "MODEL", "--json"}, flags);
}
inline Words plan(const Words& flags) {
    return with_flags({"plan", "MODEL", "--recipe", "quarot-rtn", "--json"}, flags);
}

}  // namespace quarot::test
