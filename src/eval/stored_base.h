// A base's predictions written while it runs, and read again beside the model that is measured.
#pragma once

#include <span>
#include <vector>

#include "eval/base_file.h"
#include "eval/divergence.h"
#include "eval/row_scorer.h"

namespace quarot::eval {

// Looks at the logits themselves, which come to the host a few rows at a time.
class LogitScorer : public RowScorer {
  public:
    explicit LogitScorer(int64_t vocab) : vocab_(vocab) {}
    void score(const runtime::StepRows& rows, std::span<const int32_t> targets,
               std::span<double> nll) final;

  private:
    // log_sum: of the logits; nll: of the target.
    virtual void look(std::span<const float> logits, double log_sum, int32_t target,
                      double nll) = 0;

    int64_t vocab_;
    std::vector<float> logits_;
};

class BaseRecorder : public LogitScorer {
  public:
    // Both must outlive it.
    BaseRecorder(BaseWriter& writer, int64_t vocab) : LogitScorer(vocab), writer_(writer) {}

  private:
    void look(std::span<const float> logits, double log_sum, int32_t target, double nll) override;

    BaseWriter& writer_;
};

class StoredBase : public LogitScorer {
  public:
    // The file was made for what runs, and must outlive it.
    explicit StoredBase(const BaseFile& file) : LogitScorer(file.identity().vocab), file_(file) {}

    std::span<const PositionPair> pairs() const { return pairs_; }  // of all rows scored

  private:
    // Error{Corrupt} as BaseFile's, or if the file has another token here.
    void look(std::span<const float> logits, double log_sum, int32_t target, double nll) override;

    const BaseFile& file_;
    BaseRow row_;
    std::vector<PositionPair> pairs_;
};

}  // namespace quarot::eval
