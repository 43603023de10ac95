// Which name did somebody mean who typed this one?
#include "apps/near_miss.h"

#include <algorithm>
#include <cstddef>
#include <numeric>

namespace quarot::apps {

namespace {

constexpr size_t kMaxEdits = 2;

// Insertions, deletions and replacements that make b of a.
size_t edit_distance(const std::string& a, const std::string& b) {
    std::vector<size_t> row(b.size() + 1);  // distances of a's prefix to every prefix of b
    std::iota(row.begin(), row.end(), size_t{0});
    for (size_t i = 0; i < a.size(); ++i) {
        size_t diagonal = row[0];
        row[0] = i + 1;
        for (size_t j = 0; j < b.size(); ++j) {
            const size_t replaced = diagonal + (a[i] == b[j] ? 0 : 1);
            diagonal = row[j + 1];
            row[j + 1] = std::min({replaced, row[j] + 1, diagonal + 1});
        }
    }
    return row.back();
}

}  // namespace

std::string near_miss(const std::string& word, const std::vector<std::string>& known) {
    std::string best;
    size_t best_distance = std::min(kMaxEdits, word.size() / 3) + 1;
    for (const std::string& candidate : known) {
        const size_t distance = edit_distance(word, candidate);
        if (distance >= best_distance) continue;
        best = candidate;
        best_distance = distance;
    }
    return best;
}

}  // namespace quarot::apps
