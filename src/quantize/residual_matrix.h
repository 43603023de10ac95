// An R1 that somebody else found, such as SpinQuant's: an orthogonal matrix from a file.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/thread_pool.h"
#include "recipe/recipe.h"

namespace quarot::quantize {

struct ResidualMatrix {
    std::string sha256;              // of the file
    std::vector<double> q;           // [hidden, hidden], row-major: h' = h q for a row h
    double orthogonality_error = 0;  // of what the file holds (linalg/orthogonal.h)
};

// At most this far from orthogonal: what rounding to bf16 does to a matrix of order 96, and less to
// larger ones.
inline constexpr double kMostOrthogonalityError = 2e-3;

// From a safetensors file: its only tensor, or the one named R1 or R1.weight; [hidden, hidden] of
// F64, F32, F16 or BF16. What rounding took from its orthogonality is given back: q is the nearest
// orthogonal matrix. Error{NotFound, Corrupt} naming the file and what is wrong with it: its
// tensors, the size, a value that is no number, how far it is from orthogonal.
ResidualMatrix read_residual_matrix(const std::string& file, int64_t hidden, ThreadPool& pool);

// Lets R1 be that matrix instead of a Hadamard; no recipe of a name has such a one, so this becomes
// "custom". Error{Usage} if it has no Hadamard R1.
void use_as_residual(const ResidualMatrix& matrix, Recipe& recipe);

}  // namespace quarot::quantize
