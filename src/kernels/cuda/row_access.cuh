// Four neighbouring elements of a row of F32, F16 or BF16 as floats, and back.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>
#include <utility>

#include "kernels/cuda/rows_view.h"
#include "kernels/cuda/status.h"

namespace quarot::kernels::cuda {

__device__ __forceinline__ float to_float(float x) {
    return x;
}
__device__ __forceinline__ float to_float(__half x) {
    return __half2float(x);
}
__device__ __forceinline__ float to_float(__nv_bfloat16 x) {
    return __bfloat162float(x);
}

template <typename T>
__device__ __forceinline__ T from_float(float x);
template <>
__device__ __forceinline__ float from_float<float>(float x) {
    return x;
}
template <>
__device__ __forceinline__ __half from_float<__half>(float x) {
    return __float2half_rn(x);
}
template <>
__device__ __forceinline__ __nv_bfloat16 from_float<__nv_bfloat16>(float x) {
    return __float2bfloat16_rn(x);
}

// One element of a row of any dtype.
__device__ __forceinline__ float element(const RowsView& rows, int64_t row, int64_t column) {
    const int64_t at = row * rows.stride + column;
    if (rows.dtype == DType::F32) return static_cast<const float*>(rows.data)[at];
    if (rows.dtype == DType::F16) return to_float(static_cast<const __half*>(rows.data)[at]);
    return to_float(static_cast<const __nv_bfloat16*>(rows.data)[at]);
}

template <typename T>
struct alignas(4 * sizeof(T)) Four {
    T x[4];
};

template <typename T>
__device__ __forceinline__ float4 to_floats(const Four<T>& four) {
    return {to_float(four.x[0]), to_float(four.x[1]), to_float(four.x[2]), to_float(four.x[3])};
}

// Calls body.operator()<T>() with the type of the elements.
template <typename Body>
__device__ __forceinline__ void with_elements(DType dtype, const Body& body) {
    if (dtype == DType::F32) {
        body.template operator()<float>();
    } else if (dtype == DType::F16) {
        body.template operator()<__half>();
    } else {
        body.template operator()<__nv_bfloat16>();
    }
}

// Whether groups of four elements of all rows are aligned to their size.
template <typename T>
bool in_fours(const void* data, int64_t stride) {
    return reinterpret_cast<uintptr_t>(data) % (4 * sizeof(T)) == 0 && stride % 4 == 0;
}
inline bool in_fours(const RowsView& rows) {
    return reinterpret_cast<uintptr_t>(rows.data) % (4 * size_of(rows.dtype)) == 0 &&
           rows.stride % 4 == 0;
}

// Elements c .. c + 3, zeros from `cols` on.
template <typename T>
__device__ __forceinline__ float4 load_four(const T* row, int64_t c, int64_t cols, bool fours) {
    if (fours && c + 4 <= cols) {
        return to_floats(*reinterpret_cast<const Four<T>*>(row + c));
    }
    float4 out = {0.0f, 0.0f, 0.0f, 0.0f};
    out.x = to_float(row[c]);
    if (c + 1 < cols) out.y = to_float(row[c + 1]);
    if (c + 2 < cols) out.z = to_float(row[c + 2]);
    if (c + 3 < cols) out.w = to_float(row[c + 3]);
    return out;
}

template <typename T>
__device__ __forceinline__ void store_four(T* row, int64_t c, int64_t cols, bool fours, float4 v) {
    if (fours && c + 4 <= cols) {
        *reinterpret_cast<Four<T>*>(row + c) = {
            {from_float<T>(v.x), from_float<T>(v.y), from_float<T>(v.z), from_float<T>(v.w)}};
        return;
    }
    row[c] = from_float<T>(v.x);
    if (c + 1 < cols) row[c + 1] = from_float<T>(v.y);
    if (c + 2 < cols) row[c + 2] = from_float<T>(v.z);
    if (c + 3 < cols) row[c + 3] = from_float<T>(v.w);
}

// The same where the dtype is known at run time only.
__device__ __forceinline__ float4 load_four(const RowsView& rows, int64_t row, int64_t c,
                                            bool fours) {
    const int64_t start = row * rows.stride;
    if (rows.dtype == DType::F32) {
        return load_four(static_cast<const float*>(rows.data) + start, c, rows.cols, fours);
    }
    if (rows.dtype == DType::F16) {
        return load_four(static_cast<const __half*>(rows.data) + start, c, rows.cols, fours);
    }
    return load_four(static_cast<const __nv_bfloat16*>(rows.data) + start, c, rows.cols, fours);
}
__device__ __forceinline__ void store_four(const RowsView& rows, int64_t row, int64_t c, bool fours,
                                           float4 v) {
    const int64_t start = row * rows.stride;
    if (rows.dtype == DType::F32) {
        store_four(static_cast<float*>(rows.data) + start, c, rows.cols, fours, v);
    } else if (rows.dtype == DType::F16) {
        store_four(static_cast<__half*>(rows.data) + start, c, rows.cols, fours, v);
    } else {
        store_four(static_cast<__nv_bfloat16*>(rows.data) + start, c, rows.cols, fours, v);
    }
}

}  // namespace quarot::kernels::cuda
