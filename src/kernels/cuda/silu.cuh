// SwiGLU in fp32, one rounding an operation.
#pragma once

namespace quarot::kernels::cuda {

// x / (1 + e^-x) * up. Where e^-x overflows the quotient is 0.
__device__ __forceinline__ float silu_times(float x, float up) {
    return __fmul_rn(__fdiv_rn(x, 1.0f + expf(-x)), up);
}

__device__ __forceinline__ float4 silu_times(const float4& x, const float4& up) {
    return {silu_times(x.x, up.x), silu_times(x.y, up.y), silu_times(x.z, up.z),
            silu_times(x.w, up.w)};
}

}  // namespace quarot::kernels::cuda
