// A product in fp8 by the vendor's library: what products of codes are measured beside.
#pragma once

#include <cstdint>
#include <memory>

#include "kernels/ops.h"

namespace quarot::kernels {

struct Fp8Shape {
    int64_t tokens = 0;
    int64_t out_features = 0;
    int64_t in_features = 0;
    int64_t n_weights = 1;  // matrices, so that each comes from memory as in a model
};

// Random values with a scale for each token and each output, fp32 sums, outputs of 16 bits. It uses
// its backend, which must outlive it.
class Fp8Product {
  public:
    virtual ~Fp8Product() = default;
    // Only enqueues: the tokens times matrix `weights` of n_weights.
    virtual void multiply(int64_t weights) = 0;
};

// For a backend to be as well.
class Fp8ProductMaker {
  public:
    virtual ~Fp8ProductMaker() = default;
    // Null where the machine or its library has no such product. Error{OutOfMemory}.
    virtual std::unique_ptr<Fp8Product> make_fp8_product(const Fp8Shape& shape) = 0;
};

// Null where the backend is none.
inline Fp8ProductMaker* fp8_product_maker(Backend& backend) {
    return dynamic_cast<Fp8ProductMaker*>(&backend);
}

}  // namespace quarot::kernels
