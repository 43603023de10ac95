// Device code of benchmarks: what memory gives, and data that no compression helps.
#pragma once

#include <cstdint>

#include "kernels/cuda/stream.h"

namespace quarot::bench {

// Reads n bytes (a multiple of 8192) once. `sink` is written in no case that occurs.
void read_all(const void* from, int64_t n, uint32_t* sink, kernels::cuda::Stream stream);

// n halves, near enough to standard normal, of the default stream.
void fill_random_halves(void* to, int64_t n, uint32_t seed);

}  // namespace quarot::bench
