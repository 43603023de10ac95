// Descriptions of matrices for the copy engine.
#pragma once

#include <cuda.h>

#include <cstdint>

#include "tensor/dtype.h"

namespace quarot::kernels::cuda {

struct MatrixBoxes {
    const void* data = nullptr;  // 16-byte aligned
    DType dtype = DType::U8;     // U8, F16 or BF16
    int64_t cols = 0;
    int64_t rows = 0;
    int64_t stride = 0;  // elements; a multiple of 16 bytes
    int box_cols = 0;    // 128 bytes of them: boxes are swizzled
    int box_rows = 0;
};

// Reads outside the matrix give zeros, writes there are dropped. Error{Device}.
CUtensorMap make_tensor_map(const MatrixBoxes& matrix);

}  // namespace quarot::kernels::cuda
