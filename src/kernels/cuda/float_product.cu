// Products with a floating-point side, any shape and dtype, on any architecture: those that
// mixed_product.cu does not take.
//
// A CTA makes 64 output rows x 16 tokens. Columns pass through shared memory 32 at a time, widened
// to fp32; a thread sums four tokens of one output row.
#include "kernels/cuda/device/griddep.cuh"
#include "kernels/cuda/float_product.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/linear_epilogue.cuh"
#include "kernels/cuda/mixed_product.h"
#include "kernels/cuda/row_access.cuh"
#include "kernels/cuda/weight_values.cuh"

namespace quarot::kernels::cuda {

namespace {

constexpr int kThreads = 256, kRows = 64, kTokens = 16, kColumns = 32;
constexpr int kThreadTokens = 4;      // thread: row id % 64, tokens id / 64 + 4 i
constexpr int kPitch = kColumns + 1;  // neighbouring rows fall into different banks

struct FloatSource {
    RowsView rows;

    __device__ float at(int64_t row, int64_t col) const { return element(rows, row, col); }
};

// Values of activations: scale * (code - offset), or scale * code + base.
struct ActivationSource {
    ActivationView view;

    __device__ float at(int64_t row, int64_t col) const {
        const int64_t width = view.cols / view.n_groups();
        const int64_t index = row * view.n_groups() + col / width;
        const int zero = code_bias(view.bits) + (view.offsets == nullptr ? 0 : view.offsets[index]);
        const int code = view.codes[code_offset(view.rows, view.stride, row, col)] - zero;
        const float value = __fmul_rn(view.scales[index], static_cast<float>(code));
        return view.bases == nullptr ? value : __fadd_rn(value, view.bases[index]);
    }
};

struct WeightSource {
    WeightView view;

    __device__ float at(int64_t row, int64_t col) const { return weight_value(view, row, col); }
};

struct Extent {
    int64_t tokens, columns, rows;
};

template <int kCount, typename Source>
__device__ void load_tile(float (&to)[kCount][kPitch], const Source& source, int64_t first,
                          int64_t count, int64_t column, int64_t columns) {
    for (int e = threadIdx.x; e < kCount * kColumns; e += kThreads) {
        const int64_t row = first + e / kColumns, col = column + e % kColumns;
        to[e / kColumns][e % kColumns] = row < count && col < columns ? source.at(row, col) : 0.0f;
    }
}

template <typename Tokens, typename Weights>
__global__ void __launch_bounds__(kThreads, 4)
    float_product(Tokens tokens, Weights weights, Extent extent, const float* bias,
                  OutputElements out) {
    __shared__ float weight_tile[kRows][kPitch];
    __shared__ float token_tile[kTokens][kPitch];
    const int64_t first_row = int64_t{blockIdx.x} * kRows,
                  first_token = int64_t{blockIdx.y} * kTokens;
    const int row = threadIdx.x % kRows, token = threadIdx.x / kRows;
    float sum[kThreadTokens] = {};
    let_successor_start();
    wait_for_predecessor();
    for (int64_t column = 0; column < extent.columns; column += kColumns) {
        load_tile(weight_tile, weights, first_row, extent.rows, column, extent.columns);
        load_tile(token_tile, tokens, first_token, extent.tokens, column, extent.columns);
        __syncthreads();
        for (int c = 0; c < kColumns; ++c) {
            const float w = weight_tile[row][c];
#pragma unroll
            for (int i = 0; i < kThreadTokens; ++i) {
                sum[i] = __fmaf_rn(w, token_tile[token + 4 * i][c], sum[i]);
            }
        }
        __syncthreads();
    }
    if (first_row + row >= extent.rows) return;
    const float b = bias == nullptr ? 0.0f : bias[first_row + row];
    for (int i = 0; i < kThreadTokens; ++i) {
        const int64_t t = first_token + token + 4 * i;
        if (t < extent.tokens) out.store(t, first_row + row, __fadd_rn(sum[i], b));
    }
}

template <typename Tokens, typename Weights>
void launch_product(const Tokens& tokens, const Weights& weights, const Extent& extent,
                    const FloatProduct& product, Stream stream) {
    const dim3 grid(static_cast<unsigned>((extent.rows + kRows - 1) / kRows),
                    static_cast<unsigned>((extent.tokens + kTokens - 1) / kTokens));
    launch("float_product", float_product<Tokens, Weights>, {.grid = grid, .block = kThreads},
           stream, tokens, weights, extent, product.bias,
           OutputElements{product.out.data, product.out.stride, product.out.dtype,
                          product.accumulate});
}

int64_t rows_of(const RowsView& rows) {
    return rows.rows;
}
int64_t rows_of(const ActivationView& view) {
    return view.rows;
}
int64_t rows_of(const WeightView& view) {
    return view.shape.rows;
}
int64_t columns_of(const RowsView& rows) {
    return rows.cols;
}
int64_t columns_of(const ActivationView& view) {
    return view.cols;
}
int64_t columns_of(const WeightView& view) {
    return view.shape.cols;
}

FloatSource source_of(const RowsView& rows) {
    return {rows};
}
ActivationSource source_of(const ActivationView& view) {
    return {view};
}
WeightSource source_of(const WeightView& view) {
    return {view};
}

template <typename In, typename Weight>
void check_sides(const In& in, const Weight& weight, const FloatProduct& product) {
    require(columns_of(in) == columns_of(weight) && product.out.cols == rows_of(weight) &&
                product.out.rows == rows_of(in),
            "a product's sides and result have one shape");
}

template <typename In, typename Weight>
void multiply_sides(const In& in, const Weight& weight, const FloatProduct& product,
                    Stream stream) {
    check_sides(in, weight, product);
    const Extent extent{rows_of(in), columns_of(in), rows_of(weight)};
    if (extent.tokens == 0) return;
    launch_product(source_of(in), source_of(weight), extent, product, stream);
}

}  // namespace

void multiply(const FloatProduct& product, Stream stream) {
    const auto* in = std::get_if<RowsView>(&product.in);
    const auto* weight = std::get_if<RowsView>(&product.weight);
    require(in != nullptr || weight != nullptr, "one side of a product is floating point");
    if (in != nullptr && weight != nullptr) {
        multiply_sides(*in, *weight, product, stream);
    } else if (in != nullptr) {
        const WeightView& quantized = std::get<WeightView>(product.weight);
        if (takes_mixed(quantized.shape)) {
            check_sides(*in, quantized, product);
            if (in->rows > 0) multiply_mixed(*in, quantized, product, stream);
        } else {
            multiply_sides(*in, quantized, product, stream);
        }
    } else {
        multiply_sides(std::get<ActivationView>(product.in), *weight, product, stream);
    }
}

}  // namespace quarot::kernels::cuda
