// A rotation that spreads the directions in which vectors are largest evenly over blocks.
#pragma once

#include <cstdint>
#include <vector>

#include "core/thread_pool.h"

namespace quarot::rotate {

struct Alignment {
    std::vector<double> second_moment;  // [n, n], the sum or mean of x x^T
    int64_t n = 0;
    int64_t block = 0;         // divides n
    int64_t n_directions = 0;  // at most n / block
};

// T = (I (x) H_block) G, [n, n]: G reflects the i-th eigenvector of the second moment, by falling
// eigenvalue, to coordinate i * block or its negative, so that H_block spreads it evenly over block
// i. Row-major, the transpose Q = T^T as rows see it: x' = x Q for a row x. The same bits for any
// number of threads.
std::vector<double> aligned_rotation(Alignment alignment, ThreadPool& pool);

}  // namespace quarot::rotate
