// From an exact sum of stored codes to an output value: the corrections and the fp32 expression of
// kernels::LinearArgs, which every integer product shares.
//
//   sum (w - zero_w) (a - zero_a) = sum w a - zero_w sum a - zero_a sum (w - zero_w)
//
// with w and a as stored. Sums wrap modulo 2^32; the true sum fits, unless the offset of an
// asymmetric token is beyond its codes.
#pragma once

#include "kernels/cuda/device/memory.cuh"
#include "kernels/cuda/linear_product.h"
#include "kernels/cuda/row_access.cuh"

namespace quarot::kernels::cuda {

// What is known of an output row (weights) and of a token (activations) beforehand.
struct RowFactors {
    float scale, bias;
    int32_t zero, sum;
};
struct TokenFactors {
    float scale;
    int32_t zero, sum;
    float base;  // the value of code 0
};

struct FactorSource {
    const float* row_scales;
    const uint8_t* row_zeros;
    const int32_t* row_sums;
    const float* bias;  // or null
    const float* token_scales;
    const int32_t* token_offsets;  // or null
    const int32_t* token_sums;
    const float* token_bases;  // or null
    int32_t code_bias;
    int32_t stored_excess;  // code_bias * columns

    __device__ RowFactors row(int64_t r) const {
        return {row_scales[r], bias == nullptr ? 0.0f : bias[r], row_zeros[r], row_sums[r]};
    }
    // The predecessor may have written them: after wait_for_predecessor, which is what keeps the
    // loads behind it.
    __device__ TokenFactors token(int64_t t) const {
        const int32_t offset = token_offsets == nullptr ? 0 : load_fresh(token_offsets + t);
        return {load_fresh(token_scales + t), code_bias + offset,
                load_fresh(token_sums + t) + stored_excess,
                token_bases == nullptr ? 0.0f : load_fresh(token_bases + t)};
    }
};

// Of products whose rows have one group.
inline FactorSource factor_source(const LinearProduct& p) {
    const int32_t bias = code_bias(p.in.bits);
    return {p.weight.scales,
            p.weight.zeros,
            p.weight.sums,
            p.bias,
            p.in.scales,
            p.in.offsets,
            p.in.row_sums,
            p.in.bases,
            bias,
            bias * static_cast<int32_t>(p.in.cols)};
}

__device__ __forceinline__ float finish_scaled(int32_t sum, float row_scale, float token_scale,
                                               float bias) {
    return __fadd_rn(__fmul_rn(__fmul_rn(__int2float_rn(sum), row_scale), token_scale), bias);
}

__device__ __forceinline__ float finish(int32_t sum, const RowFactors& row,
                                        const TokenFactors& token) {
    float exact;
    if (static_cast<uint32_t>(token.zero) <= 255u) {
        exact = __int2float_rn(sum - token.zero * row.sum - row.zero * token.sum);
    } else {
        exact = __ll2float_rn(sum - int64_t{token.zero} * row.sum - int64_t{row.zero} * token.sum);
    }
    float y = __fmul_rn(__fmul_rn(exact, row.scale), token.scale);
    if (token.base != 0.0f) {
        y = __fadd_rn(y, __fmul_rn(__fmul_rn(__int2float_rn(row.sum), row.scale), token.base));
    }
    return __fadd_rn(y, row.bias);
}

// Element of an output whose dtype is known at run time.
struct OutputElements {
    void* data;
    int64_t stride;
    DType dtype;
    bool accumulate;

    template <typename T>
    __device__ void put(int64_t index, float y) const {
        T* to = static_cast<T*>(data) + index;
        *to = from_float<T>(accumulate ? __fadd_rn(to_float(*to), y) : y);
    }
    // Four rows from `row`, a multiple of 4; `run` of them are there. Where outputs are 16 bits and
    // rows 16-byte aligned they leave together.
    __device__ void store_run(int64_t token, int64_t row, int run, const float (&y)[4]) const {
        if (run == 4 && dtype == DType::F16) {
            put_run<__half>(token * stride + row, y);
        } else if (run == 4 && dtype == DType::BF16) {
            put_run<__nv_bfloat16>(token * stride + row, y);
        } else {
            for (int i = 0; i < run; ++i) store(token, row + i, y[i]);
        }
    }
    template <typename T>
    __device__ void put_run(int64_t index, const float (&y)[4]) const {
        struct alignas(8) Run {
            T values[4];
        };
        Run* to = reinterpret_cast<Run*>(static_cast<T*>(data) + index);
        Run run;
        if (accumulate) run = *to;
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            run.values[i] =
                from_float<T>(accumulate ? __fadd_rn(to_float(run.values[i]), y[i]) : y[i]);
        }
        *to = run;
    }
    __device__ void store(int64_t token, int64_t row, float y) const {
        const int64_t index = token * stride + row;
        if (dtype == DType::F32) {
            put<float>(index, y);
        } else if (dtype == DType::F16) {
            put<__half>(index, y);
        } else {
            put<__nv_bfloat16>(index, y);
        }
    }
};

inline OutputElements output_elements(const LinearProduct& p) {
    return {p.out, p.out_stride, p.out_dtype, p.accumulate};
}

}  // namespace quarot::kernels::cuda
