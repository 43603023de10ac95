// What the kernels that stream weights share: strips of 16 rows, of up to three matrices behind one
// another, and the factors of rows and tokens.
#pragma once

#include "kernels/cuda/device/memory.cuh"
#include "kernels/cuda/linear_epilogue.cuh"
#include "kernels/cuda/linear_kernels.h"

namespace quarot::kernels::cuda {

// One matrix and its outputs.
struct StreamPart {
    const uint8_t* weights;
    FactorSource factors;
    OutputElements elements;
    int n_rows;
    int first_strip;  // of 16 rows; the last part ends at StreamProblem::strips
};

struct StreamProblem {
    StreamPart parts[kMostTogether];
    int n_parts;
    const uint8_t* tokens;
    int n_tokens;
    int units;   // of 64 columns, in a row block
    int strips;  // of all parts

    __device__ const StreamPart& part_of(int strip) const {
        int i = 0;
#pragma unroll
        for (int next = 1; next < kMostTogether; ++next) {
            if (next < n_parts && strip >= parts[next].first_strip) i = next;
        }
        return parts[i];
    }
};

// The strips of this CTA.
struct StripRange {
    int first, last;

    // Of so many.
    __device__ explicit StripRange(int strips)
        : first(static_cast<int>(static_cast<int64_t>(blockIdx.x) * strips / gridDim.x)),
          last(static_cast<int>(static_cast<int64_t>(blockIdx.x + 1) * strips / gridDim.x)) {}
};

// Steps 0 and 1 of a strip of a unit as operands A, from a lane's kWords words in shared memory.
template <int kWords>
__device__ __forceinline__ void load_strip(uint32_t (&a)[2][4], uint32_t from) {
    const uint4 first = load_shared(from);
    const uint32_t packed[4] = {first.x, first.y, first.z, first.w};
    if constexpr (kWords == 2) {
        const uint4 second = load_shared(from + 512);
        const uint32_t others[4] = {second.x, second.y, second.z, second.w};
#pragma unroll
        for (int j = 0; j < 4; ++j) {
            a[0][j] = packed[j];
            a[1][j] = others[j];
        }
    } else {
#pragma unroll
        for (int j = 0; j < 4; ++j) {
            a[0][j] = packed[j] & 0x0F0F0F0Fu;
            a[1][j] = (packed[j] >> 4) & 0x0F0F0F0Fu;
        }
    }
}

// Factors of a row group and of the tokens.
template <class S>
struct FactorTable {
    int32_t rows[4][S::kRows];      // scale, bias, zero, sum
    int32_t tokens[4][S::kTokens];  // scale, zero, sum, base

    __device__ RowFactors row(int r) const {
        return {__int_as_float(rows[0][r]), __int_as_float(rows[1][r]), rows[2][r], rows[3][r]};
    }
    __device__ TokenFactors token(int t) const {
        return {__int_as_float(tokens[0][t]), tokens[1][t], tokens[2][t],
                __int_as_float(tokens[3][t])};
    }
};

// Rows' factors come from memory that nothing else has touched: requested a group ahead, one or two
// words a thread.
template <class S>
struct FactorWords {
    static constexpr int kOfThread = (S::kFactors + S::kThreads - 1) / S::kThreads;
    int32_t words[kOfThread];

    __device__ __forceinline__ void request_rows(const StreamProblem& p, int strip) {
#pragma unroll
        for (int i = 0; i < kOfThread; ++i) {
            const int index = static_cast<int>(threadIdx.x) + i * S::kThreads;
            if (index >= 4 * S::kRows) break;
            const int kind = index / S::kRows;
            const StreamPart& part = p.part_of(strip + index % S::kRows / 16);
            const int first = (strip - part.first_strip) * 16;
            const int row = min(first + index % S::kRows, part.n_rows - 1);
            const FactorSource& f = part.factors;
            if (kind == 1) {
                words[i] = f.bias == nullptr ? 0 : __float_as_int(__ldg(f.bias + row));
            } else {
                words[i] = kind == 0   ? __float_as_int(__ldg(f.row_scales + row))
                           : kind == 2 ? __ldg(f.row_zeros + row)
                                       : __ldg(f.row_sums + row);
            }
        }
    }
    __device__ __forceinline__ void request_tokens(const StreamProblem& p) {
#pragma unroll
        for (int i = 0; i < kOfThread; ++i) {
            const int index = static_cast<int>(threadIdx.x) + i * S::kThreads - 4 * S::kRows;
            if (index < 0 || index >= 4 * S::kTokens) continue;
            const TokenFactors f =
                p.parts[0].factors.token(min(index % S::kTokens, p.n_tokens - 1));
            const int kind = index / S::kTokens;
            const float factor = kind == 0 ? f.scale : f.base;
            words[i] = kind == 1 ? f.zero : kind == 2 ? f.sum : __float_as_int(factor);
        }
    }
    __device__ __forceinline__ void write(FactorTable<S>& to) const {
#pragma unroll
        for (int i = 0; i < kOfThread; ++i) {
            const int index = static_cast<int>(threadIdx.x) + i * S::kThreads;
            if (index < S::kFactors) (&to.rows[0][0])[index] = words[i];
        }
    }
};

inline int strips_of(const LinearProduct& product) {
    return static_cast<int>((product.weight.shape.rows + 15) / 16);
}

inline int strips_of(std::span<const LinearProduct> products) {
    int strips = 0;
    for (const LinearProduct& product : products) strips += strips_of(product);
    return strips;
}

inline StreamProblem stream_problem(std::span<const LinearProduct> products) {
    const LinearProduct& first = products.front();
    StreamProblem problem = {};
    problem.tokens = first.in.codes;
    problem.n_tokens = static_cast<int>(first.in.rows);
    problem.units = static_cast<int>(first.weight.shape.units_per_block());
    for (const LinearProduct& product : products) {
        problem.parts[problem.n_parts++] = {
            product.weight.codes, factor_source(product), output_elements(product),
            static_cast<int>(product.weight.shape.rows), problem.strips};
        problem.strips += strips_of(product);
    }
    return problem;
}

}  // namespace quarot::kernels::cuda
