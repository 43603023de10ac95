// Quantized weights times rows of floats: each weight is read once for up to eight rows.
//
// A CTA makes 16 output rows, a strip of the layout (weight_layout.h); its warps take the units of
// 64 columns in turn. A lane holds two output rows' codes of 16 columns of a unit and multiplies
// them with floats in shared memory. The sums of lanes and warps meet at the end. Their order
// follows from the columns alone, so a row's bits do not depend on the rows beside it.
#include <cuda_runtime.h>

#include "kernels/cuda/device/griddep.cuh"
#include "kernels/cuda/device/memory.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/linear_epilogue.cuh"
#include "kernels/cuda/mixed_product.h"

namespace quarot::kernels::cuda {

namespace {

constexpr int kWarps = 8, kThreads = 32 * kWarps;
constexpr int kUnitColumns = 64;
constexpr int kFloats = 8192;

struct MixedProblem {
    RowsView in;
    WeightView weight;
    const float* bias;  // or null
    OutputElements out;
};

// kWords: 16-byte words of a lane in a unit, 1 for nibbles and 2 for bytes. kRows: of floats.
template <int kWords_, int kRows_, bool kGroups_>
struct MixedShape {
    static constexpr int kWords = kWords_, kRows = kRows_;
    static constexpr bool kGroups = kGroups_;         // a scale for each unit of a row
    static constexpr int kColumns = kFloats / kRows;  // staged at once
    static constexpr int kUnits = kColumns / kUnitColumns;
    // Units whose codes a warp asks for at once. Eight rows keep it busy, and need the registers.
    static constexpr int kAhead = kRows == 8 ? 1 : 4;
    static_assert(kUnits % kWarps == 0, "a unit's warp is the same for any number of rows");
};

// A lane's codes of a unit.
template <class S>
struct UnitCodes {
    uint4 words[S::kWords];

    // Word 2 h + r of step s: output row r, columns 32 s + 16 h + 4 t on.
    __device__ __forceinline__ uint32_t word(int step, int half, int row) const {
        const uint4& from = words[S::kWords == 2 ? step : 0];
        const uint32_t of_rows[4] = {from.x, from.y, from.z, from.w};
        const uint32_t word = of_rows[2 * half + row];
        return S::kWords == 2 ? word : word >> (4 * step) & 0x0f0f0f0fu;
    }
};

// Where a lane's codes lie, and the factors of its two output rows.
template <class S>
class LaneWeights {
  public:
    __device__ LaneWeights(const WeightView& weight, int strip)
        : view_(weight), row_(16 * strip + threadIdx.x % 32 / 4) {
        const int64_t units = weight.shape.units_per_block();
        codes_ = weight.codes + strip / 4 * units * (2048 * S::kWords) + strip % 4 * 512 +
                 threadIdx.x % 32 * 16;
    }
    __device__ __forceinline__ UnitCodes<S> codes(int unit) const {
        UnitCodes<S> codes;
#pragma unroll
        for (int i = 0; i < S::kWords; ++i) {
            codes.words[i] = __ldcs(reinterpret_cast<const uint4*>(
                codes_ + static_cast<int64_t>(unit) * (2048 * S::kWords) + 2048 * i));
        }
        return codes;
    }
    __device__ __forceinline__ float scale(int row, int group) const {
        return view_.scales[view_.shape.group_index(row_ + 8 * row, group)];
    }
    __device__ __forceinline__ float zero(int row, int group) const {
        return static_cast<float>(view_.zeros[view_.shape.group_index(row_ + 8 * row, group)]);
    }
    __device__ int group_of(int unit) const {
        return S::kGroups ? static_cast<int>(unit * kUnitColumns / view_.shape.group_size) : 0;
    }

  private:
    const WeightView& view_;
    int row_;
    const uint8_t* codes_;
};

// Byte `i` of `word` plus 2^23, exact.
__device__ __forceinline__ float raised(uint32_t word, int i) {
    return __uint_as_float(__byte_perm(word, 0x4b000000u, 0x7540u + static_cast<uint32_t>(i)));
}
constexpr float kRaise = 8388608.0f;  // 2^23

// sums += codes of a unit times `floats`, this lane's first column of the unit in shared memory.
template <class S>
__device__ __forceinline__ void multiply_unit(float (&sums)[S::kRows][2], const UnitCodes<S>& codes,
                                              const float (&zeros)[2], const float* floats) {
#pragma unroll
    for (int run = 0; run < 4; ++run) {
        float w[2][4];
#pragma unroll
        for (int i = 0; i < 8; ++i) {
            const uint32_t word = codes.word(run / 2, run % 2, i / 4);
            w[i / 4][i % 4] = __fsub_rn(raised(word, i % 4), zeros[i / 4]);
        }
#pragma unroll
        for (int row = 0; row < S::kRows; ++row) {
            const float4 x =
                *reinterpret_cast<const float4*>(floats + row * S::kColumns + 16 * run);
#pragma unroll
            for (int r = 0; r < 2; ++r) {
                float& sum = sums[row][r];
                sum = __fmaf_rn(w[r][0], x.x, sum);
                sum = __fmaf_rn(w[r][1], x.y, sum);
                sum = __fmaf_rn(w[r][2], x.z, sum);
                sum = __fmaf_rn(w[r][3], x.w, sum);
            }
        }
    }
}

template <class S>
__device__ __forceinline__ void add_unit(float (&sums)[S::kRows][2], const UnitCodes<S>& codes,
                                         const LaneWeights<S>& weights, const float (&zeros)[2],
                                         int unit, const float* floats) {
    if constexpr (S::kGroups) {
        const int group = weights.group_of(unit);
        const float own_zeros[2] = {kRaise + weights.zero(0, group),
                                    kRaise + weights.zero(1, group)};
        float part[S::kRows][2] = {};
        multiply_unit<S>(part, codes, own_zeros, floats);
        const float scales[2] = {weights.scale(0, group), weights.scale(1, group)};
#pragma unroll
        for (int i = 0; i < 2 * S::kRows; ++i) {
            sums[i / 2][i % 2] = __fmaf_rn(scales[i % 2], part[i / 2][i % 2], sums[i / 2][i % 2]);
        }
    } else {
        multiply_unit<S>(sums, codes, zeros, floats);
    }
}

// Columns `first` on of the CTA's rows as floats; zeros beyond the rows and columns there are.
template <class S>
__device__ __forceinline__ void stage(float* to, const RowsView& in, int64_t first_row,
                                      int64_t first) {
    const int64_t columns = min(int64_t{S::kColumns}, in.cols - first + kUnitColumns);
    for (int row = 0; row < S::kRows; ++row) {
        const bool present = first_row + row < in.rows;
        for (int64_t c = threadIdx.x; c < columns; c += kThreads) {
            const bool there = present && first + c < in.cols;
            to[row * S::kColumns + c] = there ? element(in, first_row + row, first + c) : 0.0f;
        }
    }
}

// Adds the sums of a strip over lanes and warps and writes its outputs.
template <class S>
__device__ __forceinline__ void finish(const MixedProblem& p, float (&sums)[S::kRows][2], int strip,
                                       int64_t first_row) {
    __shared__ float of_warps[kWarps][S::kRows][16];
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int i = 0; i < 2 * S::kRows; ++i) {
        float& sum = sums[i / 2][i % 2];
        sum += __shfl_xor_sync(~0u, sum, 1);
        sum += __shfl_xor_sync(~0u, sum, 2);
        if (lane % 4 == 0) of_warps[threadIdx.x / 32][i / 2][lane / 4 + 8 * (i % 2)] = sum;
    }
    __syncthreads();
    const int row = threadIdx.x / 16, at = threadIdx.x % 16;
    const int64_t out = int64_t{16} * strip + at;
    if (row >= S::kRows || first_row + row >= p.in.rows || out >= p.weight.shape.rows) return;
    float sum = 0.0f;
#pragma unroll
    for (int warp = 0; warp < kWarps; ++warp) sum += of_warps[warp][row][at];
    if (!S::kGroups) sum = __fmul_rn(sum, p.weight.scales[out]);
    p.out.store(first_row + row, out, __fadd_rn(sum, p.bias == nullptr ? 0.0f : p.bias[out]));
}

template <class S>
__global__ void __launch_bounds__(kThreads, 2)
    mixed_product(const __grid_constant__ MixedProblem p) {
    __shared__ __align__(16) float floats[kFloats];
    let_successor_start();
    const auto strip = static_cast<int>(blockIdx.x);
    const int64_t first_row = int64_t{blockIdx.y} * S::kRows;
    // A unit of padding alone has no group.
    const auto units = static_cast<int>((p.in.cols + kUnitColumns - 1) / kUnitColumns);
    const LaneWeights<S> weights(p.weight, strip);
    const float zeros[2] = {kRaise + weights.zero(0, 0), kRaise + weights.zero(1, 0)};
    float sums[S::kRows][2] = {};
    UnitCodes<S> codes[S::kAhead];
    const auto request = [&](int first) {
#pragma unroll
        for (int i = 0; i < S::kAhead; ++i) {
            if (first + i * kWarps < units) codes[i] = weights.codes(first + i * kWarps);
        }
    };
    const int warp = threadIdx.x / 32;
    request(warp);
    wait_for_predecessor();
    for (int chunk = 0; chunk < units; chunk += S::kUnits) {
        __syncthreads();
        stage<S>(floats, p.in, first_row, int64_t{chunk} * kUnitColumns);
        __syncthreads();
        const int end = min(chunk + S::kUnits, units);
#pragma unroll 1
        for (int first = chunk + warp; first < end; first += S::kAhead * kWarps) {
            if (first != warp) request(first);
#pragma unroll
            for (int i = 0; i < S::kAhead; ++i) {
                const int unit = first + i * kWarps;
                if (unit >= end) break;
                add_unit<S>(sums, codes[i], weights, zeros, unit,
                            floats + (unit - chunk) * kUnitColumns + threadIdx.x % 4 * 4);
            }
        }
    }
    finish<S>(p, sums, strip, first_row);
}

template <int kWords, int kRows, bool kGroups>
void launch_shape(const MixedProblem& problem, Stream stream) {
    const int64_t strips = (problem.weight.shape.rows + 15) / 16;
    const int64_t passes = (problem.in.rows + kRows - 1) / kRows;
    launch("mixed_product", mixed_product<MixedShape<kWords, kRows, kGroups>>,
           {.grid = dim3(static_cast<unsigned>(strips), static_cast<unsigned>(passes)),
            .block = kThreads},
           stream, problem);
}

template <int kWords, bool kGroups>
void launch_rows(const MixedProblem& problem, Stream stream) {
    if (problem.in.rows == 1) return launch_shape<kWords, 1, kGroups>(problem, stream);
    if (problem.in.rows == 2) return launch_shape<kWords, 2, kGroups>(problem, stream);
    if (problem.in.rows <= 4) return launch_shape<kWords, 4, kGroups>(problem, stream);
    launch_shape<kWords, 8, kGroups>(problem, stream);
}

template <int kWords>
void launch_words(const MixedProblem& problem, Stream stream) {
    if (problem.weight.shape.n_groups() > 1) {
        launch_rows<kWords, true>(problem, stream);
    } else {
        launch_rows<kWords, false>(problem, stream);
    }
}

}  // namespace

bool takes_mixed(const WeightShape& shape) {
    return shape.n_groups() == 1 || shape.group_size % kUnitColumns == 0;
}

void multiply_mixed(const RowsView& in, const WeightView& weight, const FloatProduct& product,
                    Stream stream) {
    if (multiply_mixed_tensor(in, weight, product, stream)) return;
    const MixedProblem problem = {in, weight, product.bias,
                                  OutputElements{product.out.data, product.out.stride,
                                                 product.out.dtype, product.accumulate}};
    if (weight.shape.bits <= 4) {
        launch_words<1>(problem, stream);
    } else {
        launch_words<2>(problem, stream);
    }
}

}  // namespace quarot::kernels::cuda
