// Hadamard matrices of every order that the known constructions reach.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace quarot::linalg {

// A square matrix of +1 and -1, row-major.
struct SignMatrix {
    int64_t order = 0;
    std::vector<int8_t> signs;  // [order, order]

    int8_t& at(int64_t row, int64_t column) { return signs[row * order + column]; }
    int8_t at(int64_t row, int64_t column) const { return signs[row * order + column]; }
};

// Dense factors larger than this are never built: they cost more than they mix.
inline constexpr int64_t kMaxHadamardOrder = 2048;

// H with H H^T = n I, for n = 1, 2 and orders that Sylvester, Paley I and II over prime powers,
// Williamson and their Kronecker products give (docs/quarot.md); empty if none of them does, or
// if n is not in [1, kMaxHadamardOrder].
// Deterministic; equals the published tables at 12, 20, 28, 36, 40, 52, 60, 108, 140, 156, 172.
// The first construction that reaches n is taken, in this order: Sylvester (powers of two),
// Paley I and II over prime fields, Williamson, Paley I and II over prime-power fields,
// Kronecker product with the smallest first factor. Paley I and Williamson are not symmetric.
std::optional<SignMatrix> hadamard_matrix(int64_t n);

}  // namespace quarot::linalg
