// Scores of an evaluation that is not finished, in a file, so that a later run goes on with them.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "eval/pair_score.h"

namespace quarot::eval {

class PartialScores {
  public:
    // job: a digest of all that decides scores; nothing is read or written yet.
    PartialScores(std::string path, std::string job, size_t n_pairs);

    // Takes what an earlier run left; a missing file has nothing. Error{Usage} if it is of another
    // job, Error{Corrupt} with the line.
    void load();

    std::span<const std::optional<PairScore>> scores() const { return scores_; }
    int64_t n_known() const;
    // The file is brought up to date every few seconds, as a whole: it is never torn. Error{Io}.
    void set(size_t pair, const PairScore& score);
    void save();
    // The evaluation is finished.
    void remove() const;

  private:
    using Clock = std::chrono::steady_clock;

    std::string path_;
    std::string job_;
    std::vector<std::optional<PairScore>> scores_;
    Clock::time_point saved_ = Clock::now();
};

}  // namespace quarot::eval
