#include "eval/live_base.h"

#include "core/check.h"

namespace quarot::eval {

using runtime::StepRows;

void LiveBase::begin(const Window& window) {
    request_.emplace(engine_, window, [this](const StepRows& rows) { compare(rows); });
}

void LiveBase::score(const StepRows& rows, std::span<const int32_t> targets,
                     std::span<double> nll) {
    RowScorer::score(rows, targets, nll);
    model_rows_ = &rows;
    targets_ = targets;
    model_nll_ = nll;
    const int64_t end = rows.first_position() + rows.size();
    aside_.time([&] {
        while (request_->n_run() < end) request_->run_piece();
    });
}

// The same rows of the base, while the model's are in memory.
void LiveBase::compare(const StepRows& base_rows) {
    QUAROT_CHECK(base_rows.size() == model_rows_->size() &&
                 base_rows.first_position() == model_rows_->first_position());
    std::vector<double> base_nll(targets_.size());
    RowScorer::score(base_rows, targets_, base_nll);
    std::vector<runtime::Executor::Divergence> rows(targets_.size());
    model_rows_->divergence(base_rows, rows);
    for (size_t i = 0; i < rows.size(); ++i) {
        pairs_.push_back({.nll = model_nll_[i],
                          .base_nll = base_nll[i],
                          .kl = rows[i].kl,
                          .same_top1 = rows[i].same_top1});
    }
}

}  // namespace quarot::eval
