// Rows of floating-point activations in device memory, as the launch functions take them.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tensor/dtype.h"

namespace quarot::kernels::cuda {

// Row r starts at data + r * stride elements. dtype is F32, F16 or BF16.
struct RowsView {
    void* data = nullptr;
    DType dtype = DType::F32;
    int64_t rows = 0;
    int64_t cols = 0;
    int64_t stride = 0;

    RowsView slice(int64_t first, int64_t count) const {
        return {static_cast<std::byte*>(data) + first * stride * size_of(dtype), dtype, count, cols,
                stride};
    }
};

}  // namespace quarot::kernels::cuda
