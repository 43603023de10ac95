// A base model that runs beside the one that is measured, on the same windows.
#pragma once

#include <optional>
#include <vector>

#include "eval/divergence.h"
#include "eval/row_scorer.h"
#include "eval/window_request.h"

namespace quarot::eval {

class LiveBase : public RowScorer {
  public:
    // On the backend of the model that is measured, with as many tokens a step and as large a
    // vocabulary. Must outlive it.
    explicit LiveBase(runtime::Engine& engine) : engine_(engine) {}

    void begin(const Window& window) override;
    void score(const runtime::StepRows& rows, std::span<const int32_t> targets,
               std::span<double> nll) override;

    std::span<const PositionPair> pairs() const { return pairs_; }  // of all rows scored

  private:
    void compare(const runtime::StepRows& base_rows);

    runtime::Engine& engine_;
    std::optional<WindowRequest> request_;
    std::vector<PositionPair> pairs_;
    // In score().
    const runtime::StepRows* model_rows_ = nullptr;
    std::span<const int32_t> targets_;
    std::span<const double> model_nll_;
};

}  // namespace quarot::eval
