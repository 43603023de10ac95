// A hostile folder fails as often as it likes: a million tensors, each with a fault of its own.
#include "verify/problem_list.h"

#include <utility>

namespace quarot::verify {

void ProblemList::add(std::string sentence) {
    if (listed_.contains(sentence)) return;
    if (sentences_.size() == limits::kProblems) {
        ++n_more_;
        return;
    }
    listed_.insert(sentence);
    sentences_.push_back(std::move(sentence));
}

}  // namespace quarot::verify
