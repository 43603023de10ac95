#include "eval/stored_base.h"

#include <algorithm>

#include "core/error.h"
#include "tensor/log_softmax.h"

namespace quarot::eval {

void LogitScorer::score(const runtime::StepRows& rows, std::span<const int32_t> targets,
                        std::span<double> nll) {
    const int64_t n = std::ssize(targets);
    for (int64_t first = 0; first < n; first += runtime::kLogitRows) {
        const int64_t some = std::min(runtime::kLogitRows, n - first);
        logits_.resize(static_cast<size_t>(some * vocab_));
        rows.logits(first, some, logits_);
        aside_.time([&] {
            for (int64_t i = 0; i < some; ++i) {
                const auto place = static_cast<size_t>(first + i);
                const auto logits = std::span<const float>(logits_).subspan(
                    static_cast<size_t>(i * vocab_), static_cast<size_t>(vocab_));
                const double log_sum = log_sum_exp(logits);
                const int32_t target = targets[place];
                nll[place] = log_sum - static_cast<double>(logits[static_cast<size_t>(target)]);
                look(logits, log_sum, target, nll[place]);
            }
        });
    }
}

void BaseRecorder::look(std::span<const float> logits, double log_sum, int32_t target, double nll) {
    writer_.add(logits, log_sum, target, nll);
}

void StoredBase::look(std::span<const float> logits, double log_sum, int32_t target, double nll) {
    const int64_t position = std::ssize(pairs_);
    file_.read(position, row_);
    if (row_.target != target) {
        fail(ErrorCode::Corrupt, "{}: position {} has token {}, but the text has {}", file_.path(),
             position, row_.target, target);
    }
    const RowDivergence divergence = divergence_of(row_, file_.form(), logits, log_sum);
    pairs_.push_back(
        {.nll = nll, .base_nll = row_.nll, .kl = divergence.kl, .same_top1 = divergence.same_top1});
}

}  // namespace quarot::eval
