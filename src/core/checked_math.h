// Overflow-safe arithmetic for numbers that come from files: empty means "does not fit".
#pragma once

#include <cstdint>
#include <optional>
#include <span>

namespace quarot {

inline std::optional<int64_t> checked_add(int64_t a, int64_t b) {
    int64_t result = 0;
    if (__builtin_add_overflow(a, b, &result)) return std::nullopt;
    return result;
}

inline std::optional<int64_t> checked_mul(int64_t a, int64_t b) {
    int64_t result = 0;
    if (__builtin_mul_overflow(a, b, &result)) return std::nullopt;
    return result;
}

// Product of the dimensions of a shape; 1 for rank 0. Empty if negative dimensions or overflow.
inline std::optional<int64_t> checked_product(std::span<const int64_t> dims) {
    int64_t product = 1;
    for (int64_t dim : dims) {
        if (dim < 0) return std::nullopt;
        const auto next = checked_mul(product, dim);
        if (!next) return std::nullopt;
        product = *next;
    }
    return product;
}

inline int64_t ceil_div(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}
inline int64_t round_up(int64_t a, int64_t multiple) {
    return ceil_div(a, multiple) * multiple;
}

}  // namespace quarot
