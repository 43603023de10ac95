// Rows of floating-point activations in a backend's memory.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/check.h"
#include "tensor/dtype.h"

namespace quarot {

// A view. Row r starts at data + r * stride elements.
struct Rows {
    void* data = nullptr;
    DType dtype = DType::F32;  // the backend's choice; F32 for partial sums and logits
    int64_t rows = 0;
    int64_t cols = 0;
    int64_t stride = 0;

    std::byte* at(int64_t row) const {
        return static_cast<std::byte*>(data) + row * stride * size_of(dtype);
    }
    // Rows of another dtype are our bug.
    float* f32(int64_t row = 0) const {
        QUAROT_CHECK(dtype == DType::F32, "{}", name_of(dtype));
        return static_cast<float*>(data) + row * stride;
    }
    Rows slice(int64_t first, int64_t count) const {
        return {at(first), dtype, count, cols, stride};
    }
};

}  // namespace quarot
