// A stable sort that stays inside its list whatever the order says of the items: NaN and failing
// comparisons come from templates.
#pragma once

#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

namespace quarot::jinja {

// less(a, b) may throw; the items are then in some order.
template <typename T, typename Less>
void merge_sort(std::vector<T>& items, Less less) {
    std::vector<T> merged(items.size());
    for (size_t width = 1; width < items.size(); width *= 2) {
        for (size_t begin = 0; begin < items.size(); begin += 2 * width) {
            const size_t middle = std::min(begin + width, items.size());
            const size_t end = std::min(begin + 2 * width, items.size());
            size_t left = begin;
            size_t right = middle;
            for (size_t at = begin; at < end; ++at) {
                const bool takes_right =
                    left == middle || (right < end && less(items[right], items[left]));
                merged[at] = std::move(items[takes_right ? right++ : left++]);
            }
        }
        items.swap(merged);
    }
}

}  // namespace quarot::jinja
