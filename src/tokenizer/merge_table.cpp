// Pairs are hashed, and sorted too: should the ids of a file be chosen such that they crowd in the
// hash table, it is left empty and the search goes through the sorted ones.
#include "tokenizer/merge_table.h"

#include <algorithm>
#include <bit>
#include <string>
#include <string_view>
#include <utility>

#include "core/error.h"
#include "io/text.h"

namespace quarot::tokenizer {
namespace {

constexpr size_t kMaxProbes = 128;  // slots that are looked at for one pair

std::pair<std::string_view, std::string_view> halves(const io::Json& merge) {
    if (merge.is_array()) {
        const auto& parts = merge.as_array();
        if (parts.size() != 2) {
            fail(ErrorCode::Corrupt, "{}: the merge has {} parts, expected 2", merge.place(),
                 parts.size());
        }
        return {parts[0].as_string(), parts[1].as_string()};
    }
    const std::string_view text = merge.as_string();
    const size_t space = text.find(' ');
    if (space == std::string_view::npos || text.find(' ', space + 1) != std::string_view::npos) {
        fail(ErrorCode::Corrupt, "{}: the merge is \"{}\", expected two parts with a space between",
             merge.place(), io::printable(text));
    }
    return {text.substr(0, space), text.substr(space + 1)};
}

int32_t id_of(std::string_view token, const Vocabulary& vocabulary, const io::Json& merge) {
    const std::optional<int32_t> id = vocabulary.find_in_model(token);
    if (!id) {
        fail(ErrorCode::Corrupt, "{}: the merge needs token \"{}\", which the vocabulary lacks",
             merge.place(), io::printable(token));
    }
    return *id;
}

MergeTable::Entry parse_entry(const io::Json& merge, int32_t rank, const Vocabulary& vocabulary) {
    const auto [left, right] = halves(merge);
    const std::string result = std::string(left) + std::string(right);
    return {.left = id_of(left, vocabulary, merge),
            .right = id_of(right, vocabulary, merge),
            .merge = {.rank = rank, .id = id_of(result, vocabulary, merge)}};
}

bool is_version_line(const io::Json& merge) {
    return merge.is_string() && merge.as_string().starts_with("#version");
}

bool same_pair(const MergeTable::Entry& a, const MergeTable::Entry& b) {
    return a.left == b.left && a.right == b.right;
}

// Among merges of one pair the last counts, as in the library whose format this is.
void sort_and_deduplicate(std::vector<MergeTable::Entry>& entries) {
    std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) {
        if (!same_pair(a, b)) return std::pair(a.left, a.right) < std::pair(b.left, b.right);
        return a.merge.rank > b.merge.rank;
    });
    entries.erase(std::unique(entries.begin(), entries.end(), same_pair), entries.end());
}

// Counts are powers of two above one, so that the shift is below 64.
size_t first_slot(int32_t left, int32_t right, int shift) {
    const uint64_t pair =
        uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right);
    return static_cast<size_t>((pair * 0x9E3779B97F4A7C15U) >> shift);
}

}  // namespace

MergeTable MergeTable::parse(const io::Json& merges, const Vocabulary& vocabulary) {
    MergeTable table;
    int32_t rank = 0;
    for (const io::Json& merge : merges.as_array()) {
        if (is_version_line(merge)) continue;
        table.entries_.push_back(parse_entry(merge, rank++, vocabulary));
    }
    sort_and_deduplicate(table.entries_);
    table.first_of_.assign(static_cast<size_t>(vocabulary.size()) + 1, 0);
    for (const Entry& entry : table.entries_)
        ++table.first_of_[static_cast<size_t>(entry.left) + 1];
    for (size_t i = 1; i < table.first_of_.size(); ++i)
        table.first_of_[i] += table.first_of_[i - 1];
    table.fill_slots();
    return table;
}

void MergeTable::fill_slots() {
    const size_t count = std::bit_ceil(entries_.size() * 3 / 2 + 2);
    slots_.assign(count, Entry{.left = -1, .right = -1, .merge = {}});
    slot_shift_ = 64 - std::countr_zero(count);
    for (const Entry& entry : entries_) {
        size_t slot = first_slot(entry.left, entry.right, slot_shift_);
        size_t probes = 1;
        for (; slots_[slot].left >= 0 && probes < kMaxProbes; ++probes) {
            slot = (slot + 1) & (count - 1);
        }
        if (slots_[slot].left >= 0) {
            slots_.clear();
            return;
        }
        slots_[slot] = entry;
    }
}

// Ends at a free slot, or after kMaxProbes, behind which no entry was put.
const Merge* MergeTable::find(int32_t left, int32_t right) const {
    if (slots_.empty()) return find_sorted(left, right);
    size_t slot = first_slot(left, right, slot_shift_);
    for (size_t probes = 0; probes < kMaxProbes; ++probes) {
        const Entry& entry = slots_[slot];
        if (entry.left == left && entry.right == right) return &entry.merge;
        if (entry.left < 0) return nullptr;
        slot = (slot + 1) & (slots_.size() - 1);
    }
    return nullptr;
}

const Merge* MergeTable::find_sorted(int32_t left, int32_t right) const {
    const auto begin = entries_.begin() + first_of_[static_cast<size_t>(left)];
    const auto end = entries_.begin() + first_of_[static_cast<size_t>(left) + 1];
    const auto found = std::lower_bound(
        begin, end, right, [](const Entry& entry, int32_t wanted) { return entry.right < wanted; });
    return found != end && found->right == right ? &found->merge : nullptr;
}

}  // namespace quarot::tokenizer
