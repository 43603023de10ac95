// Products in fp8 of random values by cuBLASLt, to be timed.
#pragma once

#include <cstdint>
#include <memory>

#include "kernels/cuda/stream.h"

namespace quarot::kernels::cuda {

// tokens [n_tokens, in_features] times `n_weights` matrices [out_features, in_features], E4M3 with
// a scale for each row of both sides; fast accumulation, bf16 out.
struct Fp8Problem {
    int64_t n_tokens = 0;
    int64_t out_features = 0;
    int64_t in_features = 0;
    int64_t n_weights = 1;
};

// Owns operands, outputs and the library's plan.
class RandomFp8Product {
  public:
    // Null where the device or the library has no such product. Error{Device} where cuBLASLt is
    // missing, Error{OutOfMemory}.
    static std::unique_ptr<RandomFp8Product> make(const Fp8Problem& problem);
    ~RandomFp8Product();
    RandomFp8Product(const RandomFp8Product&) = delete;
    RandomFp8Product& operator=(const RandomFp8Product&) = delete;

    // Only enqueues. weights: 0 .. n_weights - 1.
    void multiply(int64_t weights, Stream stream) const;

  private:
    struct State;
    explicit RandomFp8Product(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
};

}  // namespace quarot::kernels::cuda
