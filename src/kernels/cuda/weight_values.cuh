// One quantized weight as a float.
#pragma once

#include "kernels/cuda/weight_layout.h"

namespace quarot::kernels::cuda {

// scale * (code - zero), in fp32.
__device__ __forceinline__ float weight_value(const WeightView& view, int64_t row, int64_t col) {
    const CodePlace place = code_place(view.shape, row, col);
    const int mask = view.shape.bits <= 4 ? 15 : 255;
    const int code = view.codes[place.byte] >> place.shift & mask;
    const int64_t width = view.shape.cols / view.shape.n_groups();
    const int64_t index = view.shape.group_index(row, col / width);
    return __fmul_rn(view.scales[index], static_cast<float>(code - view.zeros[index]));
}

}  // namespace quarot::kernels::cuda
