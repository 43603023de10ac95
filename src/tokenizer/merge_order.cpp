// A token's last rank is the highest one that making it can need. Parts are shorter than what they
// make, so going through the merges by length finds them in one walk.
#include "tokenizer/merge_order.h"

#include <algorithm>

namespace quarot::tokenizer {
namespace {

std::vector<MergeTable::Entry> by_length(const MergeTable& merges, const Vocabulary& vocabulary) {
    std::vector<MergeTable::Entry> sorted = merges.entries();
    const auto length = [&](const MergeTable::Entry& entry) {
        return vocabulary.token(entry.merge.id)->size();
    };
    std::sort(sorted.begin(), sorted.end(),
              [&](const auto& a, const auto& b) { return length(a) < length(b); });
    return sorted;
}

std::vector<int32_t> last_ranks(const MergeTable& merges, const Vocabulary& vocabulary) {
    std::vector<int32_t> last(static_cast<size_t>(vocabulary.size()), -1);
    for (const auto& [left, right, merge] : by_length(merges, vocabulary)) {
        int32_t& own = last[static_cast<size_t>(merge.id)];
        own = std::max(
            {own, merge.rank, last[static_cast<size_t>(left)], last[static_cast<size_t>(right)]});
    }
    return last;
}

// A part without text is as long as what it makes, and makes it again and again.
bool has_empty_part(const MergeTable::Entry& entry, const Vocabulary& vocabulary) {
    return vocabulary.token(entry.left)->empty() || vocabulary.token(entry.right)->empty();
}

}  // namespace

MergeOrder::MergeOrder(const MergeTable& merges, const Vocabulary& vocabulary)
    : late_(static_cast<size_t>(vocabulary.size())),
      first_of_(static_cast<size_t>(vocabulary.size()) + 1) {
    const std::vector<int32_t> last = last_ranks(merges, vocabulary);
    bool all_late = false;
    for (const MergeTable::Entry& entry : merges.entries()) {
        const auto left = static_cast<size_t>(entry.left);
        const auto right = static_cast<size_t>(entry.right);
        all_late = all_late || has_empty_part(entry, vocabulary);
        if (entry.merge.rank <= std::max(last[left], last[right])) late_[left] = true;
        ranks_.push_back(entry.merge.rank);
        ++first_of_[left + 1];
    }
    if (all_late) late_.assign(late_.size(), true);
    for (size_t i = 1; i < first_of_.size(); ++i) {
        first_of_[i] += first_of_[i - 1];
        std::sort(ranks_.begin() + first_of_[i - 1], ranks_.begin() + first_of_[i]);
    }
}

int32_t MergeOrder::next_rank(int32_t left, int32_t from) const {
    const auto begin = ranks_.begin() + first_of_[static_cast<size_t>(left)];
    const auto end = ranks_.begin() + first_of_[static_cast<size_t>(left) + 1];
    const auto found = std::lower_bound(begin, end, from);
    return found == end ? kNever : *found;
}

}  // namespace quarot::tokenizer
