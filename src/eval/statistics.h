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

// Sum of values over sum of weights, as of losses over documents of many lengths: sums of
// independent documents, so that the error is that of a ratio of means to first order. At least one
// of each, as many weights as values, their sum above 0.
Mean ratio_of(std::span<const double> values, std::span<const double> weights);

// Functions of a mean, their errors to first order. Of a root of 0 there is none.
Mean exp_of(const Mean& mean);
Mean square_root_of(const Mean& mean);

// McNemar's exact test: how likely would a split of a + b changes be at least as uneven as this, if
// either way were as likely as the other? Two-sided, 1 without changes.
double mcnemar(int64_t a, int64_t b);

}  // namespace quarot::eval
