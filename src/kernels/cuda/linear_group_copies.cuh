// What a warp of linear_group_stream.cu copies of a chunk: weights, tokens and the factors of both,
// into a stage of its ring, or one token as a whole for all warps. Of linear_multiple_stream.cu:
// weights and their factors.
#pragma once

#include <cstdint>

#include "kernels/cuda/device/async_copy.cuh"
#include "kernels/cuda/device/mbarrier.cuh"
#include "kernels/cuda/device/memory.cuh"
#include "kernels/cuda/linear_group_shape.cuh"

namespace quarot::kernels::cuda {

// The chunks of a warp: every S::kWarps-th run of S::kRun of the CTA's, whose strips follow each
// other. A strip's last run may have chunks that are not there.
template <class S>
struct GroupCursor {
    int strip, last, run, in_run = 0, n_chunks;
    uint64_t policy = streamed_policy();
    const uint8_t* codes;  // of this lane in the strip's first unit
    const float* scales;   // of the strip in the first group
    const uint8_t* zeros;

    __device__ GroupCursor(const GroupStreamProblem& p, const StripRange& range)
        : strip(range.first),
          last(range.last),
          run(static_cast<int>(threadIdx.x) / 32),
          n_chunks((p.stream.units + S::kUnits - 1) / S::kUnits) {
        find_strip(p);
    }
    __device__ int chunk() const { return run * S::kRun + in_run; }
    __device__ int n_runs() const { return (n_chunks + S::kRun - 1) / S::kRun; }
    __device__ bool valid() const { return strip < last && (S::kRun == 1 || chunk() < n_chunks); }
    __device__ void advance(const GroupStreamProblem& p) {
        if (++in_run < S::kRun) return;
        in_run = 0;
        run += S::kWarps;
        if (run >= n_runs()) find_strip(p);
    }

  private:
    __device__ void find_strip(const GroupStreamProblem& p) {
        while (run >= n_runs()) {
            run -= n_runs();
            ++strip;
        }
        if (strip >= last) return;
        const StreamPart& part = p.stream.part_of(strip);
        const int at = strip - part.first_strip;
        codes = part.weights + at / 4 * static_cast<int64_t>(p.stream.units) * 2048 + at % 4 * 512 +
                threadIdx.x % 32 * 16;
        const int64_t factors = static_cast<int64_t>(at / 4) * p.groups.of_row * 64 + at % 4 * 16;
        scales = part.factors.row_scales + factors;
        zeros = part.factors.row_zeros + factors;
    }
};

// Codes of a strip of weights. What lies beyond a row becomes zeros.
template <class S>
__device__ __forceinline__ void copy_weights(uint32_t stage, const GroupStreamProblem& p,
                                             const GroupCursor<S>& at) {
    if (!at.valid()) return;
    const int lane = threadIdx.x % 32, unit = at.chunk() * S::kUnits;
    const uint8_t* from = at.codes + static_cast<int64_t>(unit) * 2048;
#pragma unroll
    for (int u = 0; u < S::kUnits; ++u) {
        const uint32_t to = stage + u * 512 + lane * 16;
        if (u < 2) {  // units come in pairs
            copy_streamed(to, from + u * 2048, at.policy);
        } else {
            copy_streamed_or_zero(to, from + u * 2048, unit + u < p.stream.units, at.policy);
        }
    }
}

// Its scales and zero points.
template <class S>
__device__ __forceinline__ void copy_row_factors(uint32_t stage, const GroupStreamProblem& p,
                                                 const GroupCursor<S>& at) {
    if (!at.valid()) return;
    const int lane = threadIdx.x % 32;
    const int first = at.chunk() * S::kPieces >> p.groups.row_shift;
    const int count = min(groups_of_chunk<S>(p.groups.row_shift), p.groups.of_row - first);
    const float* scales = at.scales + first * 64 + lane / 4 * 64 + lane % 4 * 4;
#pragma unroll
    for (int i = 0; i < (4 * S::kPieces + 31) / 32; ++i) {
        if (lane / 4 + 8 * i >= count) break;
        copy_of_many(stage + S::kRowScales + (lane + 32 * i) * 16, scales + i * 512);
    }
    if constexpr (S::kZeroPoints) {
        if (p.row_zeros && lane < count) {
            copy_of_many(stage + S::kRowZeros + lane * 16, at.zeros + (first + lane) * 64);
        }
    }
}

// What a lane copies of the tokens of a chunk: offsets from the row's first.
template <class S>
struct TokenCopies {
    int codes, factors;  // bytes; floats
    uint32_t to;         // of the first factor, in a stage
    int n_tokens, token, group, groups;
    LaneColumn<S> column;

    __device__ explicit TokenCopies(const GroupStreamProblem& p)
        : n_tokens(S::kTokens == 1 ? 1 : p.stream.n_tokens) {
        const int lane = threadIdx.x % 32, step = column.step(0);
        codes = (step / 2 * n_tokens + column.token) * 64 + lane % 4 * 16 + step % 2 * 8;
        const int log_groups = max(0, S::kLogPieces - p.groups.token_shift);
        groups = 1 << log_groups;
        token = lane >> log_groups;
        group = lane & (groups - 1);
        factors = token * p.groups.of_token + group;
        to = (group * S::kTokens + token) * 4;
    }
};

// Codes of the tokens. Columns of no token become zeros.
template <class S>
__device__ __forceinline__ void copy_tokens(uint32_t stage, const GroupStreamProblem& p,
                                            const TokenCopies<S>& of, const GroupCursor<S>& at) {
    if (!at.valid()) return;
    const int lane = threadIdx.x % 32, unit = at.chunk() * S::kUnits;
    const uint8_t* from =
        p.stream.tokens + static_cast<int64_t>(unit) * of.n_tokens * 64 + of.codes;
#pragma unroll
    for (int tile = 0; tile < S::kTiles; ++tile) {
        const bool has_token =
            of.column.token + 8 * tile < of.n_tokens && of.column.slot < S::kSlots;
#pragma unroll
        for (int c = 0; c < S::kTokenCopies; ++c) {
            const int ahead = (of.column.step(c * S::kCopyBytes / 8) - of.column.step(0)) / 2;
            const bool present = has_token && unit + of.column.step(0) / 2 + ahead < p.stream.units;
            const uint32_t to =
                stage + S::kTokenCodes + ((tile * S::kTokenCopies + c) * 32 + lane) * S::kCopyBytes;
            const uint8_t* codes = from + (ahead * of.n_tokens + 8 * tile) * 64;
            if constexpr (S::kCopyBytes == 8) {
                copy_eight_bytes_or_zero(to, codes, present);
            } else {
                copy_async_or_zero(to, codes, present);
            }
        }
    }
}

// Their scales and zero points.
template <class S>
__device__ __forceinline__ void copy_token_factors(uint32_t stage, const GroupStreamProblem& p,
                                                   const TokenCopies<S>& of,
                                                   const GroupCursor<S>& at) {
    if (!at.valid()) return;
    const int first = at.chunk() * S::kPieces >> p.groups.token_shift;
    const bool has_group = first + of.group < p.groups.of_token;
    const int tokens_apart = 32 / of.groups;
#pragma unroll
    for (int i = 0; i < (S::kPieces * S::kTokens + 31) / 32; ++i) {
        const bool present = has_group && of.token + i * tokens_apart < of.n_tokens;
        const int64_t factor = first + of.factors + i * tokens_apart * p.groups.of_token;
        const uint32_t to = stage + of.to + i * tokens_apart * 4;
        if (!present) break;
        copy_word(to + S::kTokenScales, p.token_scales + factor);
        if (S::kZeroPoints && p.token_zeros != nullptr) {
            copy_word(to + S::kTokenZeros, p.token_zeros + factor);
        }
    }
}

// Where the tokens of a chunk lie in shared memory.
struct TokenPlaces {
    uint32_t codes, scales, zeros;
};

// All of one token, codes in the order of memory. What follows a row's last may be read.
template <class S>
struct KeptTokens {
    static constexpr int kSlack = 16;  // factors
    TokenPlaces first;

    __device__ KeptTokens(const GroupStreamProblem& p, uint32_t memory) {
        first.codes = memory;
        first.scales = memory + (p.stream.units + S::kUnits) * 64;
        first.zeros = first.scales + (p.groups.of_token + kSlack) * 4;
    }
    static int bytes(const GroupStreamProblem& p) {
        return (p.stream.units + S::kUnits) * 64 + 2 * (p.groups.of_token + kSlack) * 4;
    }
    // By all warps that multiply, after wait_for_predecessor. Not by copies: the wait for them
    // would be one for the rings too.
    __device__ __forceinline__ void load(const GroupStreamProblem& p) const {
        const int groups = p.groups.of_token;
        load_words(first.codes, reinterpret_cast<const uint4*>(p.stream.tokens),
                   p.stream.units * 4);
        load_words(first.scales, reinterpret_cast<const int32_t*>(p.token_scales), groups);
        if (S::kZeroPoints && p.token_zeros != nullptr) {
            load_words(first.zeros, reinterpret_cast<const int32_t*>(p.token_zeros), groups);
        }
        named_barrier(1, 32 * S::kWarps);
    }
    __device__ TokenPlaces of_chunk(const GroupStreamProblem& p, int chunk) const {
        const uint32_t factors = (chunk * S::kPieces >> p.groups.token_shift) * 4;
        return {first.codes + chunk * S::kUnits * 64, first.scales + factors,
                first.zeros + factors};
    }

  private:
    template <class Word>
    static __device__ __forceinline__ void load_words(uint32_t to, const Word* from, int count) {
        constexpr int kThreads = 32 * S::kWarps, kAhead = 4;
        for (int i = threadIdx.x; i < count; i += kAhead * kThreads) {
            Word words[kAhead];
#pragma unroll
            for (int j = 0; j < kAhead; ++j) {
                if (i + j * kThreads < count) words[j] = load_fresh(from + i + j * kThreads);
            }
#pragma unroll
            for (int j = 0; j < kAhead; ++j) {
                if (i + j * kThreads < count) {
                    store_shared(to + (i + j * kThreads) * sizeof(Word), words[j]);
                }
            }
        }
    }
};

}  // namespace quarot::kernels::cuda
