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
};

// H with H H^T = n I, for n = 1, 2 and orders that Sylvester, Paley I and II over prime powers,
// Williamson and their Kronecker products give (docs/quarot.md); empty if none of them does.
// Deterministic; equals the published tables at 12, 20, 28, 36, 40, 52, 60, 108, 140, 156, 172.
std::optional<SignMatrix> hadamard_matrix(int64_t n);

}  // namespace quarot::linalg
