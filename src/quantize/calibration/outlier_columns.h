// Which columns of a site's inputs are kept apart, and in which order all of them stand.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "recipe/recipe.h"

namespace quarot::quantize {

struct ColumnOrder {
    std::vector<int32_t>
        columns;  // [n]: first the main ones, then the outliers; empty: as they are
    int64_t n_outliers = 0;
    WeightFormat outliers;  // of their weights

    bool empty() const { return columns.empty(); }
    int64_t n_main() const { return std::ssize(columns) - n_outliers; }
    // Rows [rows, n] with their columns in this order.
    std::vector<float> of_rows(std::span<const float> values) const;
    // A matrix [n, n] with its rows and columns in this order.
    std::vector<double> of_square(std::span<const double> matrix) const;
};

// The n_outliers columns with the largest measure stand last; of equal ones the later. The others
// keep their order, or stand by rising measure, as then the outliers do.
std::vector<int32_t> order_columns(std::span<const double> measures, int64_t n_outliers,
                                   bool sorted);

}  // namespace quarot::quantize
