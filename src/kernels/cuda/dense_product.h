// Linear layers whose two sides have one dtype, by cuBLASLt.
#pragma once

#include <cstdint>
#include <memory>

#include "kernels/cuda/stream.h"
#include "tensor/dtype.h"

namespace quarot::kernels::cuda {

// out = in W^T + bias (+ out); fp32 sums. All pointers are device memory.
struct DenseProduct {
    const void* in = nullptr;      // [rows, in_stride]
    const void* weight = nullptr;  // [out_features, in_features]
    const void* bias = nullptr;    // [out_features] of out_dtype, or null
    void* out = nullptr;           // [rows, out_stride]
    int64_t rows = 0;
    int64_t in_features = 0;
    int64_t out_features = 0;
    int64_t in_stride = 0;         // elements
    int64_t out_stride = 0;        // elements
    DType dtype = DType::BF16;     // of in and weight: F16, BF16 or F32
    DType out_dtype = DType::F32;  // F32, or dtype
    bool accumulate = false;
    // One algorithm for any number of rows, so that a row's bits do not depend on the others; else
    // the fastest for this number.
    bool same_bits_for_any_rows = false;
};

// Owns the library's handle, workspace and the algorithms chosen so far. One stream at a time; a
// captured graph uses the workspace as long as it lives.
class DenseMultiplier {
  public:
    // Error{Device} where cuBLASLt is missing, Error{OutOfMemory} for the workspace.
    DenseMultiplier();
    ~DenseMultiplier();
    DenseMultiplier(const DenseMultiplier&) = delete;
    DenseMultiplier& operator=(const DenseMultiplier&) = delete;

    // Only enqueues, allocates nothing on the device. Error{Unsupported} for a shape that the
    // library has no algorithm for.
    void multiply(const DenseProduct& product, Stream stream);

  private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace quarot::kernels::cuda
