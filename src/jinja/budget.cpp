// When has a rendering cost too much?
#include "jinja/budget.h"

#include <algorithm>
#include <utility>

#include "core/error.h"
#include "jinja/limits.h"

namespace quarot::jinja {

Budget::Budget(std::function<int64_t()> clock_ms) : clock_ms_(std::move(clock_ms)) {
    if (clock_ms_) deadline_ms_ = clock_ms_() + limits::kTemplateMilliseconds;
    check_steps();
}

void Budget::check_steps() {
    if (steps_ > size_t{limits::kTemplateSteps}) {
        fail(ErrorCode::Corrupt, "it takes more than {} steps; does it loop for ever?",
             limits::kTemplateSteps);
    }
    if (clock_ms_ && clock_ms_() > deadline_ms_) {
        fail(ErrorCode::Corrupt, "it takes longer than {} ms; does it loop for ever?",
             limits::kTemplateMilliseconds);
    }
    next_check_ = size_t{limits::kTemplateSteps} + 1;
    if (clock_ms_) next_check_ = std::min(next_check_, steps_ + kStepsBetweenLooksAtClock);
}

void Budget::require(size_t bytes) const {
    if (bytes > limits::kTemplateValueBytes - bytes_) {
        fail(ErrorCode::Corrupt,
             "its values take more than {} MiB in all; does it loop for ever? are texts too long?",
             limits::kTemplateValueBytes >> 20);
    }
}

void Budget::allocate(size_t bytes) {
    require(bytes);
    bytes_ += bytes;
    scan(bytes);
}

void Budget::enter() {
    if (depth_ == limits::kTemplateFrames) {
        fail(ErrorCode::Corrupt, "blocks, expressions and calls nest more than {} deep",
             limits::kTemplateFrames);
    }
    ++depth_;
}

}  // namespace quarot::jinja
