// Hadamard matrices from the squares of a finite field (Paley's two constructions).
#pragma once

#include "linalg/galois_field.h"
#include "linalg/hadamard.h"

namespace quarot::linalg {

// Order q + 1, for a field of q = 3 (mod 4) elements. I + skew, so not symmetric.
SignMatrix paley_one(const GaloisField& field);

// Order 2 (q + 1), for a field of q = 1 (mod 4) elements. Symmetric.
SignMatrix paley_two(const GaloisField& field);

}  // namespace quarot::linalg
