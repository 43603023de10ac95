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

// One run of inputs that share scales and zero points of a quantized panel.
struct InputRun {
    const uint8_t* codes;  // of the step that `first` is in
    int64_t first, last;
    const float* scales;
    const int32_t* zeros;
};

// 32 outputs of one input, times their scales where these belong to a group.
template <class S>
struct PanelColumn {
    typename S::V lower, upper;
};

// Code J of a step minus zero points; origins: S::field_origin of these.
template <class S, bool kNibbles, int J>
QUAROT_INLINE static inline PanelColumn<S> load_column(const uint8_t* step,
                                                       const PanelColumn<S>& origins) {
    if constexpr (kNibbles) {
        return {S::template load_field_less<4, 8 * J>(step, origins.lower),
                S::template load_field_less<4, 8 * J + 4>(step, origins.upper)};
    } else {
        return {S::template load_field_less<8, 8 * J>(step, origins.lower),
                S::template load_field_less<8, 8 * J>(step + 64, origins.upper)};
    }
}

// Calls use(input, column) for the inputs of a run, codes minus zero points; kScaled: times scales.
template <class S, bool kNibbles, bool kScaled, class Use>
QUAROT_INLINE static inline void visit_columns(const InputRun& run, const Use& use) {
    constexpr int kBits = kNibbles ? 4 : 8;
    const PanelColumn<S> origins = {S::template field_origin<kBits>(S::load_i32(run.zeros)),
                                    S::template field_origin<kBits>(S::load_i32(run.zeros + 16))};
    const auto scale0 = S::load(run.scales), scale1 = S::load(run.scales + 16);
    const auto visit = [&](int64_t k, const uint8_t* step, auto j) QUAROT_INLINE {
        PanelColumn<S> column = load_column<S, kNibbles, j>(step, origins);
        if constexpr (kScaled) {
            column.lower = S::mul(column.lower, scale0);
            column.upper = S::mul(column.upper, scale1);
        }
        use(k, column);
    };
    const auto visit_one = [&](int64_t k, const uint8_t* step) QUAROT_INLINE {
        unroll<4>([&](auto j) QUAROT_INLINE {
            if (j == k % 4) visit(k, step, j);
        });
    };
    constexpr int64_t kStepBytes = kNibbles ? 64 : 128;
    constexpr int64_t kAhead = 4096;
    const uint8_t* step = run.codes;
    int64_t k = run.first;
    for (; k < run.last && k % 4 != 0; ++k) visit_one(k, step);
    if (k != run.first && k % 4 == 0) step += kStepBytes;
    for (; k + 4 <= run.last; k += 4, step += kStepBytes) {
        unroll<kStepBytes / 64>([&](auto i)
                                    QUAROT_INLINE { __builtin_prefetch(step + kAhead + 64 * i); });
        unroll<4>([&](auto j) QUAROT_INLINE { visit(k + j, step, j); });
    }
    for (; k < run.last; ++k) visit_one(k, step);
}

// Calls use(run) for the inputs [first, last) of a panel, group by group.
template <class Use>
static inline void visit_runs(const IntPanel& panel, int64_t first, int64_t last, const Use& use) {
    const int64_t group = panel.group_inputs == 0 ? last : panel.group_inputs;
    while (first < last) {
        const int64_t g = panel.group_inputs == 0 ? 0 : first / group;
        const int64_t end = (g + 1) * group < last ? (g + 1) * group : last;
        use(InputRun{panel.codes + first / 4 * (panel.nibbles ? 64 : 128), first, end,
                     panel.scales + g * kPanelOutputs, panel.zeros + g * panel.zeros_stride});
        first = end;
    }
}

// Inputs [first, last) as floats [last - first][32].
template <class S, bool kNibbles, bool kScaled>
static void expand_inputs(const IntPanel& panel, int64_t first, int64_t last, float* columns) {
    visit_runs(panel, first, last, [&](const InputRun& run) {
        visit_columns<S, kNibbles, kScaled>(
            run, [&](int64_t k, const PanelColumn<S>& column) QUAROT_INLINE {
                S::store(columns + (k - first) * 32, column.lower);
                S::store(columns + (k - first) * 32 + 16, column.upper);
            });
    });
}

// Sums of R rows, straight from the codes.
template <class S, bool kNibbles, bool kScaled, int R>
static void mixed_rows(const IntPanel& panel, int64_t n_inputs, const FloatRows& in, float* sums) {
    typename S::V lower[R], upper[R];
    unroll<R>([&](auto r) QUAROT_INLINE { lower[r] = upper[r] = S::zero(); });
    const float* x = in.data;
    const int64_t stride = in.stride;
    visit_runs(panel, 0, n_inputs, [&](const InputRun& run) QUAROT_INLINE {
        visit_columns<S, kNibbles, kScaled>(
            run, [&](int64_t k, const PanelColumn<S>& column) QUAROT_INLINE {
                unroll<R>([&](auto r) QUAROT_INLINE {
                    const auto a = S::set1(x[r * stride + k]);
                    lower[r] = S::fma(a, column.lower, lower[r]);
                    upper[r] = S::fma(a, column.upper, upper[r]);
                });
            });
    });
    unroll<R>([&](auto r) QUAROT_INLINE {
        S::store(sums + 32 * r, lower[r]);
        S::store(sums + 32 * r + 16, upper[r]);
    });
}

template <class S, bool kNibbles, bool kScaled, int R>
static void mixed_rows_exactly(const IntPanel& panel, int64_t n_inputs, const FloatRows& in,
                               float* sums) {
    if (in.n_rows == R) {
        mixed_rows<S, kNibbles, kScaled, R>(panel, n_inputs, in, sums);
    } else if constexpr (R > 1) {
        mixed_rows_exactly<S, kNibbles, kScaled, R - 1>(panel, n_inputs, in, sums);
    }
}

// Sums of many rows: a block of inputs at a time becomes floats in L1, which all rows pass.
template <class S, bool kNibbles, bool kScaled>
static void mixed_blocks(const IntPanel& panel, int64_t n_inputs, const FloatRows& in,
                         float* columns, float* sums) {
    float ones[S::kMixedRows];
    for (float& one : ones) one = 1.0f;
    for (int64_t first = 0; first < n_inputs; first += kMixedBlock) {
        const int64_t rest = n_inputs - first, depth = rest < kMixedBlock ? rest : kMixedBlock;
        expand_inputs<S, kNibbles, kScaled>(panel, first, first + depth, columns);
        for (int64_t row = 0; row < in.n_rows; row += S::kMixedRows) {
            const int64_t left = in.n_rows - row;
            fma_rows<S, S::kMixedRows>({.a = in.data + row * in.stride + first,
                                        .lda = in.stride,
                                        .b = columns,
                                        .ldb = 32,
                                        .depth = depth,
                                        .factors = first == 0 ? nullptr : ones,
                                        .c = sums + 32 * row,
                                        .ldc = 32},
                                       left < S::kMixedRows ? left : S::kMixedRows, 2);
        }
    }
}

template <class S, bool kNibbles, bool kScaled>
static void mixed_sums(const IntPanel& panel, int64_t n_inputs, const FloatRows& in, float* scratch,
                       float* sums) {
    if (in.n_rows <= S::kMixedRows) {
        mixed_rows_exactly<S, kNibbles, kScaled, S::kMixedRows>(panel, n_inputs, in, sums);
    } else {
        mixed_blocks<S, kNibbles, kScaled>(panel, n_inputs, in, scratch, sums);
    }
}

// With groups the scale is part of every product, without it is applied to the sum.
template <class S>
static void mixed_panel(const IntPanel& panel, int64_t n_inputs, const FloatRows& in,
                        float* scratch, const FloatOut& out) {
    float* sums = scratch + kMixedBlock * kPanelOutputs;
    const bool scaled = panel.group_inputs != 0;
    if (panel.nibbles) {
        (scaled ? mixed_sums<S, true, true> : mixed_sums<S, true, false>)(panel, n_inputs, in,
                                                                          scratch, sums);
    } else {
        (scaled ? mixed_sums<S, false, true> : mixed_sums<S, false, false>)(panel, n_inputs, in,
                                                                            scratch, sums);
    }
    for (int64_t row = 0; row < in.n_rows; ++row) {
        const float* raw = sums + kPanelOutputs * row;
        float* y = out.data + row * out.stride;
        for (int64_t o = 0; o < out.n_outputs; ++o) {
            float value = scaled ? raw[o] : raw[o] * panel.scales[o];
            if (panel.bias != nullptr) value += panel.bias[o];
            y[o] = out.accumulate ? y[o] + value : value;
        }
    }
}

}  // namespace quarot::kernels::cpu
