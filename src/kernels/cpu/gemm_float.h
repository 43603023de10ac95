// Products with float activations: dense weights in their stored dtype, and quantized weights.
#pragma once

#include <cstdint>

#include "kernels/cpu/elementwise.h"
#include "kernels/cpu/fma_tile.h"

namespace quarot::kernels::cpu {

// Sums of R rows times 4 G outputs over one block of inputs: 16 partial sums a dot product, lanes
// along the inputs, folded in one fixed order. sums [R][ld].
template <class S, FloatFormat F, int R, int G>
static inline void dot_tile(const FloatRows& in, const void* const* weights, int64_t first,
                            int64_t count, float* sums, int64_t ld) {
    using V = typename S::V;
    constexpr int kOutputs = 4 * G;
    V acc[R][kOutputs];
    unroll<R>([&](auto r) QUAROT_INLINE {
        unroll<kOutputs>([&](auto o) QUAROT_INLINE { acc[r][o] = S::zero(); });
    });
    const float* x = in.data + first;
    const int64_t whole = count / 16 * 16, stride = in.stride;
    for (int64_t k = 0; k < whole; k += 16) {
        V w[kOutputs];
        unroll<kOutputs>([&](auto o)
                             QUAROT_INLINE { w[o] = load_float<S>(weights[o], F, first + k); });
        unroll<R>([&](auto r) QUAROT_INLINE {
            const V a = S::load(x + r * stride + k);
            unroll<kOutputs>([&](auto o) QUAROT_INLINE { acc[r][o] = S::fma(a, w[o], acc[r][o]); });
        });
    }
    if (whole < count) {
        unroll<kOutputs>([&](auto o) QUAROT_INLINE {
            const V w = load_float_n<S>(weights[o], F, first + whole, count - whole);
            unroll<R>([&](auto r) QUAROT_INLINE {
                const V a = S::load_n(x + r * stride + whole, count - whole);
                acc[r][o] = S::fma(a, w, acc[r][o]);
            });
        });
    }
    unroll<R>([&](auto r) QUAROT_INLINE {
        unroll<G>([&](auto g) QUAROT_INLINE {
            S::store_sums4(sums + r * ld + 4 * g, acc[r][4 * g], acc[r][4 * g + 1],
                           acc[r][4 * g + 2], acc[r][4 * g + 3]);
        });
    });
}

template <class S, FloatFormat F, int R>
static void dot_rows(const FloatRows& in, const void* const* weights, int64_t first, int64_t count,
                     float* sums, int64_t ld, int n_outputs) {
    if (in.n_rows == R) {
        if constexpr (R == 1) {
            if (n_outputs == 8) {
                dot_tile<S, F, 1, 2>(in, weights, first, count, sums, ld);
                return;
            }
        }
        for (int o = 0; o < n_outputs; o += 4) {
            dot_tile<S, F, R, 1>(in, weights + o, first, count, sums + o, ld);
        }
    } else if constexpr (R > 1) {
        dot_rows<S, F, R - 1>(in, weights, first, count, sums, ld, n_outputs);
    }
}

constexpr int64_t kMaxPanelOutputs = 64;

// Rows of at most kDotRows: all outputs of the panel, block of inputs by block.
template <class S, FloatFormat F>
static void dense_tile(const DensePanel& panel, int64_t weight_stride, const FloatRows& in,
                       int64_t n_outputs, const FloatOut& out) {
    constexpr int64_t kElement = F == FloatFormat::F32 ? 4 : 2;
    const auto* bytes = static_cast<const char*>(panel.weights);
    float totals[S::kDotRows][kMaxPanelOutputs];
    for (int64_t first = 0; first < panel.n_inputs; first += kDotBlock) {
        const int64_t rest = panel.n_inputs - first;
        const int64_t count = rest < kDotBlock ? rest : kDotBlock;
        for (int64_t o = 0; o < n_outputs; o += 8) {
            const void* weights[8];
            for (int64_t i = 0; i < 8; ++i) {
                const int64_t output = o + i < n_outputs ? o + i : n_outputs - 1;
                weights[i] = bytes + output * weight_stride * kElement;
            }
            float sums[S::kDotRows][8];
            dot_rows<S, F, S::kDotRows>(in, weights, first, count, sums[0], 8,
                                        n_outputs - o > 4 ? 8 : 4);
            for (int64_t r = 0; r < in.n_rows; ++r) {
                for (int64_t i = 0; i < 8 && o + i < n_outputs; ++i) {
                    totals[r][o + i] = first == 0 ? sums[r][i] : totals[r][o + i] + sums[r][i];
                }
            }
        }
    }
    for (int64_t r = 0; r < in.n_rows; ++r) {
        float* y = out.data + r * out.stride;
        for (int64_t o = 0; o < n_outputs; ++o) {
            float value = in.scales == nullptr ? totals[r][o] : totals[r][o] * in.scales[r];
            if (panel.bias != nullptr) value += panel.bias[o];
            y[o] = out.accumulate ? y[o] + value : value;
        }
    }
}

template <class S>
static void dense_panel(const DensePanel& panel, const FloatRows& in, int64_t n_outputs,
                        const FloatOut& out) {
    DensePanel source = panel;
    int64_t stride = panel.n_inputs;
    if (in.n_rows > S::kDotRows && panel.format != FloatFormat::F32) {
        stride = dense_stride(panel.n_inputs);
        const auto* bytes = static_cast<const char*>(panel.weights);
        for (int64_t o = 0; o < n_outputs; ++o) {
            widen_row<S>(bytes + o * panel.n_inputs * 2, panel.format, panel.n_inputs,
                         panel.widened + o * stride);
        }
        source.weights = panel.widened;
        source.format = FloatFormat::F32;
    }
    for (int64_t row = 0; row < in.n_rows; row += S::kDotRows) {
        const int64_t rest = in.n_rows - row;
        const FloatRows rows{in.data + row * in.stride, in.stride,
                             rest < S::kDotRows ? rest : S::kDotRows,
                             in.scales == nullptr ? nullptr : in.scales + row};
        FloatOut rows_out = out;
        rows_out.data += row * out.stride;
        switch (source.format) {
            case FloatFormat::F32:
                dense_tile<S, FloatFormat::F32>(source, stride, rows, n_outputs, rows_out);
                break;
            case FloatFormat::BF16:
                dense_tile<S, FloatFormat::BF16>(source, stride, rows, n_outputs, rows_out);
                break;
            case FloatFormat::F16:
                dense_tile<S, FloatFormat::F16>(source, stride, rows, n_outputs, rows_out);
                break;
        }
    }
}

// The codes of inputs [first, last) minus zero points, as floats [n_inputs][32]; kScaled: times the
// outputs' scales.
template <class S, bool kScaled>
static void expand_inputs(const IntPanel& panel, int64_t first, int64_t last, const float* scales,
                          const int32_t* zeros, float* codes) {
    const auto zero0 = S::load_i32(zeros), zero1 = S::load_i32(zeros + 16);
    const auto scale0 = S::load(scales), scale1 = S::load(scales + 16);
    const int64_t step_bytes = panel.nibbles ? 64 : 128;
    codes += first * 32;
    for (int64_t k = first; k < last; ++k, codes += 32) {
        const uint8_t* step = panel.codes + k / 4 * step_bytes;
        const int shift = static_cast<int>(k % 4) * 8;
        typename S::V q0, q1;
        if (panel.nibbles) {
            q0 = S::load_word_field(step, shift, 15);
            q1 = S::load_word_field(step, shift + 4, 15);
        } else {
            q0 = S::load_word_field(step, shift, 255);
            q1 = S::load_word_field(step + 64, shift, 255);
        }
        q0 = S::sub(q0, zero0);
        q1 = S::sub(q1, zero1);
        S::store(codes, kScaled ? S::mul(q0, scale0) : q0);
        S::store(codes + 16, kScaled ? S::mul(q1, scale1) : q1);
    }
}

// With groups the scale is part of every product, without it is applied to the sum.
template <class S>
static void expand_panel(const IntPanel& panel, int64_t n_inputs, float* codes) {
    if (panel.group_inputs == 0) {
        expand_inputs<S, false>(panel, 0, n_inputs, panel.scales, panel.zeros, codes);
        return;
    }
    const float* scales = panel.scales;
    const int32_t* zeros = panel.zeros;
    for (int64_t k = 0; k < n_inputs; k += panel.group_inputs) {
        expand_inputs<S, true>(panel, k, k + panel.group_inputs, scales, zeros, codes);
        scales += panel.scales_stride;
        zeros += panel.zeros_stride;
    }
}

template <class S>
static void mixed_panel(const IntPanel& panel, int64_t n_inputs, const FloatRows& in,
                        float* scratch, const FloatOut& out) {
    expand_panel<S>(panel, n_inputs, scratch);
    float sums[S::kMixedRows][32];
    for (int64_t row = 0; row < in.n_rows; row += S::kMixedRows) {
        const int64_t rest = in.n_rows - row;
        const int64_t n = rest < S::kMixedRows ? rest : S::kMixedRows;
        fma_rows<S, S::kMixedRows>({.a = in.data + row * in.stride,
                                    .lda = in.stride,
                                    .b = scratch,
                                    .ldb = 32,
                                    .depth = n_inputs,
                                    .factors = nullptr,
                                    .c = sums[0],
                                    .ldc = 32},
                                   n, 2);
        for (int64_t r = 0; r < n; ++r) {
            float* y = out.data + (row + r) * out.stride;
            for (int64_t o = 0; o < out.n_outputs; ++o) {
                float value = sums[r][o];
                if (panel.group_inputs == 0) value *= panel.scales[o];
                if (panel.bias != nullptr) value += panel.bias[o];
                y[o] = out.accumulate ? y[o] + value : value;
            }
        }
    }
}

}  // namespace quarot::kernels::cpu
