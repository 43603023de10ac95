// Making a token can need many merges: when the highest rank is below the first of its two limits
// it cannot be there yet, above the second it cannot become new. Parts are shorter than what they
// make, so going through the merges by length finds both in one walk.
#include "tokenizer/merge_order.h"

#include <algorithm>
#include <string>

#include "tokenizer/unicode.h"

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

struct Making {
    int32_t first = MergeOrder::kNever;
    int32_t last = -1;
};

bool is_character(const std::string& token) {
    return !token.empty() && character_at(token, 0).end == token.size();
}

std::vector<Making> makings(const MergeTable& merges, const Vocabulary& vocabulary,
                            std::span<const int32_t> symbols) {
    std::vector<Making> found(static_cast<size_t>(vocabulary.size()));
    for (int64_t id = 0; id < vocabulary.size(); ++id) {
        const std::string* token = vocabulary.token(id);
        if (token != nullptr && is_character(*token)) found[static_cast<size_t>(id)].first = -1;
    }
    for (int32_t id : symbols) found[static_cast<size_t>(id)].first = -1;
    for (const auto& [left, right, merge] : by_length(merges, vocabulary)) {
        const Making& a = found[static_cast<size_t>(left)];
        const Making& b = found[static_cast<size_t>(right)];
        Making& own = found[static_cast<size_t>(merge.id)];
        own.first = std::min(own.first, std::max({merge.rank, a.first, b.first}));
        own.last = std::max({own.last, merge.rank, a.last, b.last});
    }
    return found;
}

// A part without text is as long as what it makes, and makes it again and again.
bool has_empty_part(const MergeTable::Entry& entry, const Vocabulary& vocabulary) {
    return vocabulary.token(entry.left)->empty() || vocabulary.token(entry.right)->empty();
}

}  // namespace

MergeOrder::MergeOrder(const MergeTable& merges, const Vocabulary& vocabulary,
                       std::span<const int32_t> symbols)
    : late_from_(static_cast<size_t>(vocabulary.size()), kNever),
      first_of_(static_cast<size_t>(vocabulary.size()) + 1) {
    const std::vector<Making> making = makings(merges, vocabulary, symbols);
    bool all_late = false;
    for (const MergeTable::Entry& entry : merges.entries()) {
        const auto left = static_cast<size_t>(entry.left);
        const Making& right = making[static_cast<size_t>(entry.right)];
        all_late = all_late || has_empty_part(entry, vocabulary);
        if (entry.merge.rank <= std::max(making[left].last, right.last)) {
            late_from_[left] = std::min(late_from_[left], std::max(entry.merge.rank, right.first));
        }
        ranks_.push_back(entry.merge.rank);
        ++first_of_[left + 1];
    }
    if (all_late) late_from_.assign(late_from_.size(), -1);
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
