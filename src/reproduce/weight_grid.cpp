#include "reproduce/weight_grid.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>

namespace quarot::reproduce {

namespace {

constexpr int64_t kGroup = 32;
constexpr int64_t kLevels = 16;
constexpr int64_t kSampledRows = 64;
constexpr double kNearlyAll = 0.99;

int64_t distinct_values(std::span<const float> group) {
    std::array<float, kGroup> sorted{};
    std::copy(group.begin(), group.end(), sorted.begin());
    std::sort(sorted.begin(), sorted.end());
    return std::unique(sorted.begin(), sorted.end()) - sorted.begin();
}

struct Count {
    int64_t groups = 0;
    int64_t on_grid = 0;
};

void count(const folder::SourceModel& source, const model::LinearId& id, Count& counts) {
    const int64_t cols = in_features(id, source.config());
    const int64_t rows = std::min(kSampledRows, out_features(id, source.config()));
    const Tensor weight = source.dense_rows(id, 0, rows);
    const auto* values = weight.as<float>();
    for (int64_t row = 0; row < rows; ++row) {
        for (int64_t col = 0; col + kGroup <= cols; col += kGroup) {
            const std::span<const float> group(values + row * cols + col, kGroup);
            ++counts.groups;
            if (distinct_values(group) <= kLevels) ++counts.on_grid;
        }
    }
}

}  // namespace

bool weights_lie_on_4_bit_grids(const folder::SourceModel& source) {
    Count counts;
    for (const int64_t layer : {int64_t{0}, source.config().n_layers - 1}) {
        for (const model::LinearId& id : linears_of(source.config(), layer)) {
            count(source, id, counts);
        }
    }
    return counts.groups > 0 &&
           static_cast<double>(counts.on_grid) >= kNearlyAll * static_cast<double>(counts.groups);
}

}  // namespace quarot::reproduce
