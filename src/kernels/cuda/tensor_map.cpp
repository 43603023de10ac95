#include "kernels/cuda/tensor_map.h"

#include <cuda_runtime_api.h>

#include "core/check.h"
#include "core/error.h"
#include "kernels/cuda/status.h"

namespace quarot::kernels::cuda {

namespace {

// The driver's function, asked for through the runtime so that nothing links to the driver.
auto encoder() {
    using Encode = decltype(&cuTensorMapEncodeTiled);
    static const Encode encode = [] {
        void* function = nullptr;
        cudaDriverEntryPointQueryResult found = cudaDriverEntryPointSymbolNotFound;
        check(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000,
                                               cudaEnableDefault, &found),
              "cudaGetDriverEntryPointByVersion");
        if (found != cudaDriverEntryPointSuccess) {
            fail(ErrorCode::Device, "the CUDA driver has no cuTensorMapEncodeTiled; update it");
        }
        return reinterpret_cast<Encode>(function);
    }();
    return encode;
}

CUtensorMapDataType element_type(DType dtype) {
    switch (dtype) {
        case DType::U8:
            return CU_TENSOR_MAP_DATA_TYPE_UINT8;
        case DType::F16:
            return CU_TENSOR_MAP_DATA_TYPE_FLOAT16;
        default:
            return CU_TENSOR_MAP_DATA_TYPE_BFLOAT16;
    }
}

}  // namespace

CUtensorMap make_tensor_map(const MatrixBoxes& m) {
    QUAROT_CHECK(m.box_cols * size_of(m.dtype) == 128 && m.stride * size_of(m.dtype) % 16 == 0);
    CUtensorMap map;
    const cuuint64_t dims[2] = {static_cast<cuuint64_t>(m.cols), static_cast<cuuint64_t>(m.rows)};
    const cuuint64_t strides[1] = {static_cast<cuuint64_t>(m.stride * size_of(m.dtype))};
    const cuuint32_t box[2] = {static_cast<cuuint32_t>(m.box_cols),
                               static_cast<cuuint32_t>(m.box_rows)};
    const cuuint32_t steps[2] = {1, 1};
    const CUresult result =
        encoder()(&map, element_type(m.dtype), 2, const_cast<void*>(m.data), dims, strides, box,
                  steps, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                  CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
    if (result != CUDA_SUCCESS) {
        fail(ErrorCode::Device, "cuTensorMapEncodeTiled: error {} for [{}, {}] of stride {}",
             static_cast<int>(result), m.rows, m.cols, m.stride);
    }
    return map;
}

}  // namespace quarot::kernels::cuda
