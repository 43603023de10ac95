// Hadamard matrices from four symmetric circulants, for orders that no field reaches.
#pragma once

#include <cstdint>
#include <optional>

#include "linalg/hadamard.h"

namespace quarot::linalg {

// Order 4 w where four rows of length w are stored, else empty. Not symmetric.
std::optional<SignMatrix> williamson(int64_t order);

}  // namespace quarot::linalg
