// Entries are sorted rather than hashed: no choice of ids in a file can make the search slow.
#include "tokenizer/merge_table.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>

#include "core/error.h"
#include "io/text.h"

namespace quarot::tokenizer {
namespace {

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
    return table;
}

const Merge* MergeTable::find(int32_t left, int32_t right) const {
    const auto begin = entries_.begin() + first_of_[static_cast<size_t>(left)];
    const auto end = entries_.begin() + first_of_[static_cast<size_t>(left) + 1];
    const auto found = std::lower_bound(
        begin, end, right, [](const Entry& entry, int32_t wanted) { return entry.right < wanted; });
    return found != end && found->right == right ? &found->merge : nullptr;
}

}  // namespace quarot::tokenizer
