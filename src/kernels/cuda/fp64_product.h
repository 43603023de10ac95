// fp64 products of matrices whose sums run down the rows of both, in one order for every shape.
#pragma once

#include <cstdint>

#include "kernels/cuda/stream.h"

namespace quarot::kernels::cuda {

// What becomes of c with the product p = a^T b.
enum class ProductInto { Set, SetNegative, Subtract };

// a: [k, m], b: [k, n], c: [m, n], row-major in device memory, strides in elements. Each element is
// one fused chain over k in order, then one operation with c.
struct TransposedProduct {
    const double* a = nullptr;
    int64_t a_stride = 0;
    const double* b = nullptr;  // may be c where m is at most kProductTile
    int64_t b_stride = 0;
    double* c = nullptr;
    int64_t c_stride = 0;
    int64_t m = 0, n = 0, k = 0;
    ProductInto into = ProductInto::Set;
    bool lower_only = false;  // leaves out the tiles of c above the diagonal
    bool upper_b = false;     // b is zero below its diagonal tiles, which are not read
};

// Square tiles of c.
inline constexpr int64_t kProductTile = 64;

// Only enqueues.
void multiply(const TransposedProduct& product, Stream stream);

}  // namespace quarot::kernels::cuda
