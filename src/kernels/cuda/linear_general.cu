// Products of quantized rows and quantized weights of every form: any shape, groups on either side,
// offsets and real zero points. The definition on the device, on any architecture; the fast kernels
// give the same bits where they apply.
//
// A CTA makes 64 rows x 16 tokens. Columns pass through shared memory 64 at a time; a thread sums
// four tokens of one row, in pieces that end at every border of a group of either side.
#include "kernels/cuda/device/griddep.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/linear_epilogue.cuh"
#include "kernels/cuda/linear_kernels.h"

namespace quarot::kernels::cuda {

namespace {

constexpr int kThreads = 256, kRows = 64, kTokens = 16, kColumns = 64;
constexpr int kThreadTokens = 4;      // thread: row id % 64, tokens id / 64 + 4 i
constexpr int kPitch = kColumns + 4;  // words of neighbouring rows fall into different banks
// |code - zero| products of 64 columns fit 32 bits where an activation's offset fits 16.
static_assert(kColumns * 255ll * (32767 + 255) < 1ll << 31);

struct GeneralProblem {
    ActivationView in;
    WeightView weight;
    const float* bias;
    OutputElements elements;
};

// Stored codes of one chunk of 64 columns.
struct Chunk {
    uint8_t weights[kRows][kPitch];
    uint8_t tokens[kTokens][kPitch];
};

__device__ void load_chunk(Chunk& to, const GeneralProblem& p, int64_t row_block, int64_t token,
                           int64_t column) {
    const WeightShape& shape = p.weight.shape;
    for (int e = threadIdx.x; e < kRows * kColumns; e += kThreads) {
        const CodePlace place =
            code_place(shape, row_block * 64 + e / kColumns, column + e % kColumns);
        const uint8_t mask = shape.bits <= 4 ? 15 : 255;
        to.weights[e / kColumns][e % kColumns] =
            static_cast<uint8_t>(p.weight.codes[place.byte] >> place.shift) & mask;
    }
    for (int e = threadIdx.x; e < kTokens * kColumns; e += kThreads) {
        const int64_t t = token + e / kColumns;
        const int64_t at = code_offset(p.in.rows, p.in.stride, t, column + e % kColumns);
        to.tokens[e / kColumns][e % kColumns] = t < p.in.rows ? p.in.codes[at] : 0;
    }
}

// The integer sums of a thread since the last border.
struct GroupSums {
    int64_t products[kThreadTokens] = {};
    int64_t weights = 0;
};

struct ThreadPlace {
    int row, token;  // in the tile
    int64_t global_row, global_token;
};

__device__ void add_columns(GroupSums& sums, const Chunk& chunk, const GeneralProblem& p,
                            const ThreadPlace& at, int from, int to, int64_t a_group,
                            int64_t w_group) {
    const int32_t w_zero = p.weight.zeros[p.weight.shape.group_index(at.global_row, w_group)];
    int32_t zero[kThreadTokens], sum[kThreadTokens] = {}, w_sum = 0;
    for (int i = 0; i < kThreadTokens; ++i) {
        const int64_t token = min(at.global_token + 4 * i, p.in.rows - 1);
        zero[i] = code_bias(p.in.bits) +
                  (p.in.offsets == nullptr ? 0 : p.in.offsets[token * p.in.n_groups() + a_group]);
    }
    for (int c = from; c < to; ++c) {
        const int32_t w = chunk.weights[at.row][c] - w_zero;
        w_sum += w;
#pragma unroll
        for (int i = 0; i < kThreadTokens; ++i) {
            sum[i] += w * (chunk.tokens[at.token + 4 * i][c] - zero[i]);
        }
    }
    sums.weights += w_sum;
    for (int i = 0; i < kThreadTokens; ++i) sums.products[i] += sum[i];
}

// Adds what the group contributes, (float(acc) * scale_w) * scale_a and the real zero point's part.
__device__ void end_group(GroupSums& sums, float (&y)[kThreadTokens], const GeneralProblem& p,
                          const ThreadPlace& at, int64_t a_group, int64_t w_group) {
    const float w_scale = p.weight.scales[p.weight.shape.group_index(at.global_row, w_group)];
    for (int i = 0; i < kThreadTokens; ++i) {
        const int64_t token = min(at.global_token + 4 * i, p.in.rows - 1);
        const int64_t index = token * p.in.n_groups() + a_group;
        float part =
            __fmul_rn(__fmul_rn(__ll2float_rn(sums.products[i]), w_scale), p.in.scales[index]);
        if (p.in.bases != nullptr) {
            const float base =
                __fmul_rn(__fmul_rn(__ll2float_rn(sums.weights), w_scale), p.in.bases[index]);
            part = __fadd_rn(part, base);
        }
        y[i] = __fadd_rn(y[i], part);
    }
    sums = {};
}

__global__ void __launch_bounds__(kThreads)
    linear_general(const __grid_constant__ GeneralProblem p) {
    __shared__ Chunk chunk;
    let_successor_start();
    wait_for_predecessor();
    const WeightShape& shape = p.weight.shape;
    const int64_t cols = shape.cols, first_token = static_cast<int64_t>(blockIdx.x) * kTokens;
    const int64_t a_size = cols / p.in.n_groups(), w_size = cols / shape.n_groups();
    const int row = threadIdx.x % kRows, token = threadIdx.x / kRows;
    const ThreadPlace at = {row, token,
                            min(static_cast<int64_t>(blockIdx.y) * kRows + row, shape.rows - 1),
                            first_token + token};
    GroupSums sums;
    float y[kThreadTokens] = {};
    for (int64_t column = 0; column < cols; column += kColumns) {
        __syncthreads();
        load_chunk(chunk, p, blockIdx.y, first_token, column);
        __syncthreads();
        const int64_t last = min(column + kColumns, cols);
        for (int64_t from = column; from < last;) {
            const int64_t a_group = from / a_size, w_group = from / w_size;
            const int64_t border = min((a_group + 1) * a_size, (w_group + 1) * w_size);
            const int64_t to = min(border, last);
            add_columns(sums, chunk, p, at, static_cast<int>(from - column),
                        static_cast<int>(to - column), a_group, w_group);
            if (to == border) end_group(sums, y, p, at, a_group, w_group);
            from = to;
        }
    }
    if (static_cast<int64_t>(blockIdx.y) * kRows + row >= shape.rows) return;
    const float bias = p.bias == nullptr ? 0.0f : p.bias[at.global_row];
    for (int i = 0; i < kThreadTokens; ++i) {
        const int64_t t = at.global_token + 4 * i;
        if (t < p.in.rows) p.elements.store(t, at.global_row, __fadd_rn(y[i], bias));
    }
}

}  // namespace

void launch_general(const LinearProduct& product, Stream stream) {
    const GeneralProblem problem = {product.in, product.weight, product.bias,
                                    output_elements(product)};
    const dim3 grid(static_cast<unsigned>((product.in.rows + kTokens - 1) / kTokens),
                    static_cast<unsigned>(product.weight.shape.row_blocks()));
    launch("linear_general", linear_general, {.grid = grid, .block = kThreads}, stream, problem);
}

}  // namespace quarot::kernels::cuda
