// Activations in fp32, one rounding an operation.
#pragma once

#include "kernels/functions.h"

namespace quarot::kernels::cuda {

// x / (1 + e^-x) * up. Where e^-x overflows the quotient is 0.
__device__ __forceinline__ float silu_times(float x, float up) {
    return __fmul_rn(__fdiv_rn(x, 1.0f + expf(-x)), up);
}

// The same for numbers of 16 bits, off by far less than their step where x is above -80; below,
// where SiLU vanishes beside other values, by some steps of fp32. The exponential stops at 2^126.
__device__ __forceinline__ float fast_silu_times(float x, float up) {
    float exponential, reciprocal;
    const float exponent = fminf(x * -1.4426950408889634f, 126.0f);
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(exponential) : "f"(exponent));
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(reciprocal) : "f"(1.0f + exponential));
    return x * reciprocal * up;
}
__device__ __forceinline__ float4 fast_silu_times(const float4& x, const float4& up) {
    return {fast_silu_times(x.x, up.x), fast_silu_times(x.y, up.y), fast_silu_times(x.z, up.z),
            fast_silu_times(x.w, up.w)};
}

__device__ __forceinline__ float4 silu_times(const float4& x, const float4& up) {
    return {silu_times(x.x, up.x), silu_times(x.y, up.y), silu_times(x.z, up.z),
            silu_times(x.w, up.w)};
}

__device__ __forceinline__ float activated(Activation activation, float x) {
    switch (activation) {
        case Activation::Silu:
            return silu_times(x, 1.0f);
        case Activation::GeluTanh: {
            constexpr float kFactor = 1.595769122f;  // 2 sqrt(2 / pi)
            const float y = x * fmaf(x * x, 0.044715f * kFactor, kFactor);
            return __fdiv_rn(x, 1.0f + expf(-y));
        }
        case Activation::Gelu:
            return 0.5f * x * erfcf(x * -0.70710678f);
        case Activation::Relu:
            return x < 0.0f ? 0.0f : x;
    }
    return x;
}

__device__ __forceinline__ float4 activated(Activation activation, const float4& x) {
    return {activated(activation, x.x), activated(activation, x.y), activated(activation, x.z),
            activated(activation, x.w)};
}

}  // namespace quarot::kernels::cuda
