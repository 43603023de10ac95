#include "eval/row_scorer.h"

namespace quarot::eval {

void RowScorer::score(const runtime::StepRows& rows, std::span<const int32_t> targets,
                      std::span<double> nll) {
    rows.log_probabilities(targets, nll);
    for (double& value : nll) value = -value;
}

}  // namespace quarot::eval
