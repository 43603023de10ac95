// What is wrong with a folder, each thing once, and no more sentences than anybody reads.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_set>
#include <vector>

namespace quarot::limits {
inline constexpr size_t kProblems = 1000;
}

namespace quarot::verify {

class ProblemList {
  public:
    // A sentence that is there already is not added; beyond limits::kProblems they are counted.
    void add(std::string sentence);

    bool empty() const { return sentences_.empty(); }
    const std::vector<std::string>& sentences() const { return sentences_; }
    int64_t n_more() const { return n_more_; }

  private:
    std::vector<std::string> sentences_;
    std::unordered_set<std::string> listed_;
    int64_t n_more_ = 0;
};

}  // namespace quarot::verify
