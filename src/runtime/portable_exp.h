// The exponential function with the same bits on every machine, which the C library's has not.
#pragma once

#include <bit>
#include <cstdint>

namespace quarot::runtime {

// e^x for x <= 0, to about one unit in the last place; 0 below the smallest normal number. Only
// operations whose results IEEE 754 fixes, rounding to nearest: x = k ln 2 + r with
// |r| <= ln(2) / 2, then r's Taylor series and an exact scaling by 2^k.
inline double portable_exp(double x) {
    constexpr double kLog2E = 0x1.71547652b82fep+0;
    constexpr double kLn2High = 0x1.62e42fefa38p-1;  // 42 bits: k times it is exact
    constexpr double kLn2Low = 0x1.ef35793c7673p-45;
    constexpr double kRounder = 0x1.8p52;  // added and taken away it leaves a whole number
    constexpr double kSmallest = -708.0;
    constexpr double kTerms[] = {1.0 / 479001600,
                                 1.0 / 39916800,
                                 1.0 / 3628800,
                                 1.0 / 362880,
                                 1.0 / 40320,
                                 1.0 / 5040,
                                 1.0 / 720,
                                 1.0 / 120,
                                 1.0 / 24,
                                 1.0 / 6,
                                 1.0 / 2,
                                 1.0,
                                 1.0};  // 1 / n!, the first is 1 / 12!
    if (!(x > kSmallest)) return 0.0;
    const double k = (x * kLog2E + kRounder) - kRounder;
    const double r = (x - k * kLn2High) - k * kLn2Low;
    double sum = 1.0 / 6227020800;  // 1 / 13!; r^14 / 14! is below 2^-57
    for (const double term : kTerms) sum = sum * r + term;
    return sum * std::bit_cast<double>((static_cast<int64_t>(k) + 1023) << 52);
}

}  // namespace quarot::runtime
