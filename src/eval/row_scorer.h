// What becomes of the rows of a window while a step has their logits in memory.
#pragma once

#include <cstdint>
#include <span>

#include "eval/stopwatch.h"
#include "eval/window.h"
#include "runtime/engine.h"

namespace quarot::eval {

// The plain one asks for the likelihoods of what comes next and no more.
class RowScorer {
  public:
    virtual ~RowScorer() = default;

    // Windows come one after another; the rows of each in order, in any number of pieces.
    virtual void begin(const Window& /*window*/) {}
    // One row a target. nll: of each target, nats.
    virtual void score(const runtime::StepRows& rows, std::span<const int32_t> targets,
                       std::span<double> nll);

    // Spent in score() on other things than the model.
    double seconds_aside() const { return aside_.seconds(); }

  protected:
    Stopwatch aside_;
};

}  // namespace quarot::eval
