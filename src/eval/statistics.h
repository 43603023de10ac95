// How sure a mean is, and whether two runs over the same items differ.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

namespace quarot::eval {

struct Mean {
    double value = 0.0;
    std::optional<double> standard_error;  // sample deviation / sqrt(n); of one value there is none
};

// At least one value.
Mean mean_of(std::span<const double> values);

// McNemar's exact test: how likely would a split of a + b changes be at least as uneven as this, if
// either way were as likely as the other? Two-sided, 1 without changes.
double mcnemar(int64_t a, int64_t b);

}  // namespace quarot::eval
