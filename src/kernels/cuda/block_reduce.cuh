// Sums and extremes over the threads of a warp or a block, in an order that depends on the number
// of threads alone.
#pragma once

#include <cstdint>

namespace quarot::kernels::cuda {

inline constexpr uint32_t kAllLanes = ~0u;
inline constexpr int kMaxBlockWarps = 32;

__device__ __forceinline__ float sum_over_warp(float x) {
#pragma unroll
    for (int step = 16; step > 0; step /= 2) x += __shfl_xor_sync(kAllLanes, x, step);
    return x;
}
__device__ __forceinline__ double sum_over_warp(double x) {
#pragma unroll
    for (int step = 16; step > 0; step /= 2) x += __shfl_xor_sync(kAllLanes, x, step);
    return x;
}
__device__ __forceinline__ int32_t sum_over_warp(int32_t x) {
    return __reduce_add_sync(kAllLanes, x);
}
// Least and greatest of order-preserving integers.
struct KeyRange {
    int32_t low = INT32_MAX;
    int32_t high = INT32_MIN;

    __device__ __forceinline__ void include(int32_t key) { include(key, key); }
    __device__ __forceinline__ void include(int32_t lowest, int32_t highest) {
        low = min(low, lowest);
        high = max(high, highest);
    }
};

__device__ __forceinline__ KeyRange range_over_warp(const KeyRange& range) {
    return {__reduce_min_sync(kAllLanes, range.low), __reduce_max_sync(kAllLanes, range.high)};
}

// Who works together on one span of a row: a warp.
struct WarpTeam {
    __device__ int rank() const { return static_cast<int>(threadIdx.x % 32); }
    __device__ int size() const { return 32; }
    template <typename T>
    __device__ T sum(T x) {
        return sum_over_warp(x);
    }
    __device__ KeyRange range(const KeyRange& mine) { return range_over_warp(mine); }
};

// Neighbouring lanes of a warp, `size` of them, a power of two. All lanes of the warp call each
// operation together.
class LaneTeam {
  public:
    __device__ explicit LaneTeam(int size) : size_(size) {}
    __device__ int rank() const { return static_cast<int>(threadIdx.x) & (size_ - 1); }
    __device__ int size() const { return size_; }
    __device__ int32_t sum(int32_t x) {
        for (int step = size_ / 2; step > 0; step /= 2) x += __shfl_xor_sync(kAllLanes, x, step);
        return x;
    }
    __device__ KeyRange range(KeyRange mine) {
        for (int step = size_ / 2; step > 0; step /= 2) {
            mine.include(__shfl_xor_sync(kAllLanes, mine.low, step),
                         __shfl_xor_sync(kAllLanes, mine.high, step));
        }
        return mine;
    }

  private:
    int size_;
};

// Slots of a block's warps: two sets, used in turns, so that one barrier an operation is enough.
struct BlockScratch {
    double slots[2][kMaxBlockWarps];
};

// The whole block. Every operation is a barrier; all threads get the result. One object serves a
// block for a kernel's whole run.
class BlockTeam {
  public:
    __device__ explicit BlockTeam(BlockScratch& scratch) : scratch_(scratch) {}
    __device__ int rank() const { return static_cast<int>(threadIdx.x); }
    __device__ int size() const { return static_cast<int>(blockDim.x); }
    template <typename T>
    __device__ T sum(T x) {
        return over_warps(sum_over_warp(x), T{}, [](const T& a) { return sum_over_warp(a); });
    }
    // Of kPieces rows of threads, one behind the other: the sum of kPieces * size() terms in the
    // order of a block of so many threads. At most 64 warps of terms.
    template <int kPieces>
    __device__ float sum_of_pieces(const float (&pieces)[kPieces]) {
        auto* slots = reinterpret_cast<float*>(scratch_.slots[turn_]);
        turn_ ^= 1;
        const int lane = threadIdx.x % 32, n_warps = static_cast<int>(blockDim.x / 32);
#pragma unroll
        for (int i = 0; i < kPieces; ++i) {
            const float sum = sum_over_warp(pieces[i]);
            if (lane == 0) slots[i * n_warps + threadIdx.x / 32] = sum;
        }
        __syncthreads();
        const int n = kPieces * n_warps;
        const float low = lane < n ? slots[lane] : 0.0f;
        return sum_over_warp(low + (lane + 32 < n ? slots[lane + 32] : 0.0f));
    }
    __device__ KeyRange range(const KeyRange& mine) {
        return over_warps(range_over_warp(mine), KeyRange{},
                          [](const KeyRange& a) { return range_over_warp(a); });
    }

  private:
    template <typename T, class Reduce>
    __device__ T over_warps(const T& mine, const T& neutral, const Reduce& reduce) {
        static_assert(sizeof(T) <= sizeof(double));
        auto* slots = reinterpret_cast<T*>(scratch_.slots[turn_]);
        turn_ ^= 1;
        const int lane = threadIdx.x % 32, n_warps = blockDim.x / 32;
        if (lane == 0) slots[threadIdx.x / 32] = mine;
        __syncthreads();
        return reduce(lane < n_warps ? slots[lane] : neutral);
    }

    BlockScratch& scratch_;
    int turn_ = 0;
};

}  // namespace quarot::kernels::cuda
