// Floating-point rows in another dtype, one thread a value.
#include "kernels/cuda/cast.h"
#include "kernels/cuda/device/griddep.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/row_access.cuh"

namespace quarot::kernels::cuda {

namespace {

constexpr int kThreads = 256;
constexpr int64_t kMaxBlocks = 1 << 16;

template <typename From, typename To>
__global__ void __launch_bounds__(kThreads)
    cast_values(const From* in, int64_t in_stride, To* out, int64_t out_stride, int64_t rows,
                int64_t cols, int32_t* overflow) {
    let_successor_start();
    wait_for_predecessor();
    const int64_t step = int64_t{gridDim.x} * kThreads;
    for (int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x; i < rows * cols; i += step) {
        const float value = to_float(in[i / cols * in_stride + i % cols]);
        const To cast = from_float<To>(value);
        out[i / cols * out_stride + i % cols] = cast;
        if (overflow != nullptr && isfinite(value) && !isfinite(to_float(cast))) *overflow = 1;
    }
}

template <typename From, typename To>
void launch_cast(const RowsView& in, const RowsView& out, int32_t* overflow, Stream stream) {
    const int64_t blocks = min(kMaxBlocks, (in.rows * in.cols + kThreads - 1) / kThreads);
    launch("cast_values", cast_values<From, To>,
           {.grid = static_cast<unsigned>(blocks), .block = kThreads}, stream,
           static_cast<const From*>(in.data), in.stride, static_cast<To*>(out.data), out.stride,
           in.rows, in.cols, overflow);
}

template <typename From>
void cast_from(const RowsView& in, const RowsView& out, int32_t* overflow, Stream stream) {
    switch (out.dtype) {
        case DType::F32:
            return launch_cast<From, float>(in, out, overflow, stream);
        case DType::F16:
            return launch_cast<From, __half>(in, out, overflow, stream);
        case DType::BF16:
            return launch_cast<From, __nv_bfloat16>(in, out, overflow, stream);
        default:
            require(false, "rows are floating point");
    }
}

}  // namespace

void cast_rows(const RowsView& in, const RowsView& out, int32_t* overflow, Stream stream) {
    require(in.rows == out.rows && in.cols == out.cols, "rows keep their shape");
    if (in.rows * in.cols == 0) return;
    switch (in.dtype) {
        case DType::F32:
            return cast_from<float>(in, out, overflow, stream);
        case DType::F16:
            return cast_from<__half>(in, out, overflow, stream);
        case DType::BF16:
            return cast_from<__nv_bfloat16>(in, out, overflow, stream);
        default:
            require(false, "rows are floating point");
    }
}

}  // namespace quarot::kernels::cuda
