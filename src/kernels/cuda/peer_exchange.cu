#include <cuda_runtime.h>

#include <algorithm>

#include "core/checked_math.h"
#include "kernels/cuda/device/griddep.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/peer_exchange.h"
#include "kernels/cuda/status.h"

namespace quarot::kernels::cuda {

namespace {

constexpr int kThreads = 512;

// Asks the host now and then, over a bus that is slow to answer.
__device__ bool nobody_waits(const PeerView& peers, unsigned n_tries) {
    constexpr unsigned kTriesBetween = 1024;
    if (n_tries % kTriesBetween != 0) return false;
    return *static_cast<const volatile uint32_t*>(peers.abandoned) != 0;
}

// Value and stamp cross as one word, which comes whole or not at all.
__device__ void send(StampedValue* to, float value, uint32_t turn) {
    const uint64_t word = (static_cast<uint64_t>(turn) << 32) | __float_as_uint(value);
    asm volatile("st.relaxed.sys.global.b64 [%0], %1;" ::"l"(to), "l"(word) : "memory");
}

// Waits for the value of `turn`; anything where the group is abandoned. The pauses leave the memory
// to the values that are on their way: without them exchanges took a hundred times as long now and
// then (docs/cuda.md).
__device__ float receive(const PeerView& peers, const StampedValue* from, uint32_t turn) {
    constexpr unsigned kPause = 100;  // ns
    for (unsigned n = 1;; ++n) {
        uint64_t word = 0;
        asm volatile("ld.relaxed.sys.global.b64 %0, [%1];" : "=l"(word) : "l"(from) : "memory");
        const bool has_come = static_cast<uint32_t>(word >> 32) == turn;
        if (has_come || nobody_waits(peers, n)) {
            return __uint_as_float(static_cast<uint32_t>(word));
        }
        __nanosleep(kPause);
    }
}

// add(a, b) over the terms of ranks [First, First + Count), a power of two, in comm.h's tree.
template <int First, int Count, class Add>
__device__ __forceinline__ float in_tree(const float* terms, const Add& add) {
    if constexpr (Count == 1) {
        return terms[First];
    } else {
        constexpr int kHalf = Count / 2;
        return add(in_tree<First, kHalf>(terms, add), in_tree<First + kHalf, kHalf>(terms, add));
    }
}

struct Sum {
    __device__ float operator()(float a, float b) const { return __fadd_rn(a, b); }
};
struct Largest {
    __device__ float operator()(float a, float b) const { return fmaxf(a, b); }
};

struct Matrix {
    float* data;
    int64_t n, cols, stride;  // n elements in all
    __device__ float& operator[](int64_t i) const {
        return cols == stride ? data[i] : data[i / cols * stride + i % cols];
    }
};

// The two halves of the stamped memory take turns: who has this exchange's values of all ranks may
// send the next one's while another still reads these, but not the one's after that.
template <int Size, class Add>
__global__ void combine_stamped(const __grid_constant__ PeerView peers, Matrix values, Add add) {
    let_successor_start();
    wait_for_predecessor();
    const uint32_t turn = *peers.turn + 1;
    const int64_t half = (turn & 1) * Size * kMostStamped;
    const int64_t first = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
    const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
    for (int64_t i = first; i < values.n; i += step) {
        const float own = values[i];
#pragma unroll
        for (int r = 0; r < Size; ++r) {
            if (r != peers.rank) {
                send(peers.stamped[r] + half + peers.rank * kMostStamped + i, own, turn);
            }
        }
    }
    const StampedValue* received = peers.stamped[peers.rank] + half;
    for (int64_t i = first; i < values.n; i += step) {
        float terms[Size];
#pragma unroll
        for (int r = 0; r < Size; ++r) {
            terms[r] =
                r == peers.rank ? values[i] : receive(peers, received + r * kMostStamped + i, turn);
        }
        values[i] = in_tree<0, Size>(terms, add);
    }
    __syncthreads();
    if (threadIdx.x == 0 && atomicAdd(peers.turn + 1, 1) == gridDim.x - 1) {
        peers.turn[1] = 0;
        peers.turn[0] = turn;
    }
}

// Returns when CTA blockIdx.x of every rank has come; what each wrote before is visible.
__device__ void meet(const PeerView& peers) {
    __syncthreads();
    if (threadIdx.x == 0) {
        const uint32_t turn = ++peers.barriers[blockIdx.x];
        __threadfence_system();
        for (int r = 0; r < peers.size; ++r) {
            uint32_t* to = peers.arrivals[r] + peers.rank * kPeerCtas + blockIdx.x;
            asm volatile("st.release.sys.global.b32 [%0], %1;" ::"l"(to), "r"(turn) : "memory");
        }
        for (int r = 0; r < peers.size; ++r) {
            const uint32_t* from = peers.arrivals[peers.rank] + r * kPeerCtas + blockIdx.x;
            for (unsigned n = 1;; ++n) {
                uint32_t come = 0;
                asm volatile("ld.acquire.sys.global.b32 %0, [%1];"
                             : "=r"(come)
                             : "l"(from)
                             : "memory");
                if (static_cast<int32_t>(come - turn) >= 0 || nobody_waits(peers, n)) break;
            }
        }
        __threadfence_system();
    }
    __syncthreads();
}

// One element, or four of a row whose places allow it.
template <typename Unit>
struct UnitMatrix {
    int64_t n, cols, stride;  // in units
    __device__ int64_t at(int64_t i) const {
        return cols == stride ? i : i / cols * stride + i % cols;
    }
};

__device__ float4 load_remote(const float4* from) {
    float4 x;
    asm volatile("ld.relaxed.sys.global.v4.f32 {%0, %1, %2, %3}, [%4];"
                 : "=f"(x.x), "=f"(x.y), "=f"(x.z), "=f"(x.w)
                 : "l"(from)
                 : "memory");
    return x;
}
__device__ float load_remote(const float* from) {
    float x;
    asm volatile("ld.relaxed.sys.global.f32 %0, [%1];" : "=f"(x) : "l"(from) : "memory");
    return x;
}

template <int Size>
__device__ float sum_of(const float* terms) {
    return in_tree<0, Size>(terms, Sum{});
}
template <int Size>
__device__ float4 sum_of(const float4* terms) {
    float x[4][Size];
#pragma unroll
    for (int r = 0; r < Size; ++r) {
        x[0][r] = terms[r].x;
        x[1][r] = terms[r].y;
        x[2][r] = terms[r].z;
        x[3][r] = terms[r].w;
    }
    return {in_tree<0, Size>(x[0], Sum{}), in_tree<0, Size>(x[1], Sum{}),
            in_tree<0, Size>(x[2], Sum{}), in_tree<0, Size>(x[3], Sum{})};
}

// Sums units [begin, end) of all ranks and hands each sum to put(place, sum).
template <int Size, typename Unit, class Put>
__device__ void sum_units(const PeerRows& rows, const UnitMatrix<Unit>& matrix, int64_t begin,
                          int64_t end, const Put& put) {
    const int64_t step = static_cast<int64_t>(kPeerCtas) * kThreads;
    constexpr int kAtOnce = Size <= 2 ? 4 : Size <= 4 ? 2 : 1;  // as registers allow
    for (int64_t i = begin + blockIdx.x * kThreads + threadIdx.x; i < end; i += kAtOnce * step) {
        Unit terms[kAtOnce][Size];
#pragma unroll
        for (int u = 0; u < kAtOnce; ++u) {
            if (i + u * step >= end) continue;
            const int64_t at = matrix.at(i + u * step);
#pragma unroll
            for (int r = 0; r < Size; ++r) {
                terms[u][r] = load_remote(reinterpret_cast<const Unit*>(rows.at[r]) + at);
            }
        }
#pragma unroll
        for (int u = 0; u < kAtOnce; ++u) {
            if (i + u * step < end) put(matrix.at(i + u * step), sum_of<Size>(terms[u]));
        }
    }
}

// Rank r sums the r-th slice of all and writes it to everybody.
template <int Size, typename Unit>
__global__ void __launch_bounds__(kThreads)
    sum_slices(const __grid_constant__ PeerView peers, const __grid_constant__ PeerRows rows,
               UnitMatrix<Unit> matrix) {
    wait_for_predecessor();
    meet(peers);
    const int64_t slice = (matrix.n + Size - 1) / Size;
    const int64_t begin = peers.rank * slice, left = matrix.n - begin;
    sum_units<Size>(rows, matrix, begin, begin + (left < slice ? left : slice),
                    [&](int64_t at, const Unit& sum) {
#pragma unroll
                        for (int r = 0; r < Size; ++r) {
                            reinterpret_cast<Unit*>(rows.at[r])[at] = sum;
                        }
                    });
    meet(peers);
}

template <int Size, typename Unit>
__global__ void __launch_bounds__(kThreads)
    sum_own_rows(const __grid_constant__ PeerView peers, const __grid_constant__ PeerRows rows,
                 UnitMatrix<Unit> matrix, ShareOfRows share) {
    wait_for_predecessor();
    meet(peers);
    Unit* own = reinterpret_cast<Unit*>(rows.at[peers.rank]);
    sum_units<Size>(rows, matrix, share.first * matrix.cols,
                    (share.first + share.count) * matrix.cols,
                    [&](int64_t at, const Unit& sum) { own[at] = sum; });
}

template <typename Unit>
__global__ void __launch_bounds__(kThreads)
    spread_columns(const __grid_constant__ PeerView peers, const Unit* part,
                   UnitMatrix<Unit> matrix, const __grid_constant__ PeerRows whole) {
    wait_for_predecessor();
    meet(peers);
    constexpr int64_t kFloats = sizeof(Unit) / sizeof(float);
    const int64_t step = static_cast<int64_t>(kPeerCtas) * kThreads;
    for (int64_t i = blockIdx.x * kThreads + threadIdx.x; i < matrix.n; i += step) {
        const Unit x = part[matrix.at(i)];
        const int64_t row = i / matrix.cols, column = i % matrix.cols;
        const int64_t to = row * (whole.stride / kFloats) + peers.rank * matrix.cols + column;
        for (int r = 0; r < peers.size; ++r) reinterpret_cast<Unit*>(whole.at[r])[to] = x;
    }
    meet(peers);
}

template <typename Unit>
__device__ void spread_range(const PeerView& peers, const PeerRanges& all,
                             const PeerRanges::Range& range) {
    const int64_t n = range.bytes / static_cast<int64_t>(sizeof(Unit));
    const int64_t step = static_cast<int64_t>(kPeerCtas) * kThreads;
    const Unit* from = reinterpret_cast<const Unit*>(all.base[peers.rank] + range.offset);
    for (int64_t i = blockIdx.x * kThreads + threadIdx.x; i < n; i += step) {
        const Unit x = from[i];
        for (int r = 0; r < peers.size; ++r) {
            if (r != peers.rank) reinterpret_cast<Unit*>(all.base[r] + range.offset)[i] = x;
        }
    }
}

__global__ void __launch_bounds__(kThreads)
    spread_ranges(const __grid_constant__ PeerView peers, const __grid_constant__ PeerRanges all) {
    wait_for_predecessor();
    if (all.meets_first) meet(peers);
    for (int i = 0; i < all.n; ++i) {
        const PeerRanges::Range& range = all.ranges[i];
        const uint64_t places =
            reinterpret_cast<uint64_t>(all.base[peers.rank]) | range.offset | range.bytes;
        if (places % sizeof(uint4) == 0) {
            spread_range<uint4>(peers, all, range);
        } else if (places % sizeof(uint32_t) == 0) {
            spread_range<uint32_t>(peers, all, range);
        } else {
            spread_range<std::byte>(peers, all, range);
        }
    }
    meet(peers);
}

// body.operator()<Size>() with the group's size as a constant.
template <typename Body>
void with_size(int size, const Body& body) {
    switch (size) {
        case 2:
            return body.template operator()<2>();
        case 4:
            return body.template operator()<4>();
        case 8:
            return body.template operator()<8>();
        default:
            require(false, "2, 4 or 8 ranks");
    }
}

// All CTAs of all ranks wait for each other, so none may start before its predecessor's memory is
// free for it.
constexpr LaunchShape kPeerShape = {.grid = kPeerCtas, .block = kThreads};

template <class Add>
void combine(const PeerView& peers, const Matrix& values, const Add& add, Stream stream) {
    require(values.n <= kMostStamped, "stamped values fit their memory");
    if (values.n == 0) return;
    constexpr int kStampThreads = 256;
    const int64_t ctas = std::min<int64_t>(kPeerCtas, ceil_div(values.n, int64_t{kStampThreads}));
    const LaunchShape shape = {.grid = static_cast<unsigned>(ctas), .block = kStampThreads};
    with_size(peers.size, [&]<int Size>() {
        launch("combine_stamped", combine_stamped<Size, Add>, shape, stream, peers, values, add);
    });
}

bool in_fours(const void* data, int64_t cols, int64_t stride) {
    return cols % 4 == 0 && stride % 4 == 0 && reinterpret_cast<uintptr_t>(data) % 16 == 0;
}
bool in_fours(const PeerRows& rows, int size) {
    return std::all_of(rows.at, rows.at + size,
                       [&](float* data) { return in_fours(data, rows.cols, rows.stride); });
}

template <typename Unit>
UnitMatrix<Unit> units_of(int64_t rows, int64_t cols, int64_t stride) {
    constexpr int64_t kFloats = sizeof(Unit) / sizeof(float);
    return {rows * cols / kFloats, cols / kFloats, stride / kFloats};
}

}  // namespace

void sum_stamped(const PeerView& peers, const RowsView& rows, Stream stream) {
    combine(peers, {static_cast<float*>(rows.data), rows.rows * rows.cols, rows.cols, rows.stride},
            Sum{}, stream);
}

void maximum(const PeerView& peers, float* values, int64_t n, Stream stream) {
    combine(peers, {values, n, n, n}, Largest{}, stream);
}

void sum_in_slices(const PeerView& peers, const PeerRows& rows, Stream stream) {
    with_size(peers.size, [&]<int Size>() {
        const auto sum = [&]<typename Unit>() {
            launch("sum_slices", sum_slices<Size, Unit>, kPeerShape, stream, peers, rows,
                   units_of<Unit>(rows.rows, rows.cols, rows.stride));
        };
        in_fours(rows, peers.size) ? sum.template operator()<float4>()
                                   : sum.template operator()<float>();
    });
}

void sum_share(const PeerView& peers, const PeerRows& rows, ShareOfRows share, Stream stream) {
    with_size(peers.size, [&]<int Size>() {
        const auto sum = [&]<typename Unit>() {
            launch("sum_own_rows", sum_own_rows<Size, Unit>, kPeerShape, stream, peers, rows,
                   units_of<Unit>(rows.rows, rows.cols, rows.stride), share);
        };
        in_fours(rows, peers.size) ? sum.template operator()<float4>()
                                   : sum.template operator()<float>();
    });
}

void spread(const PeerView& peers, const PeerRanges& ranges, Stream stream) {
    launch("spread_ranges", spread_ranges, kPeerShape, stream, peers, ranges);
}

void gather_columns(const PeerView& peers, const RowsView& part, const PeerRows& whole,
                    Stream stream) {
    const auto spread = [&]<typename Unit>() {
        launch("spread_columns", spread_columns<Unit>, kPeerShape, stream, peers,
               static_cast<const Unit*>(part.data),
               units_of<Unit>(part.rows, part.cols, part.stride), whole);
    };
    in_fours(part.data, part.cols, part.stride) && in_fours(whole, peers.size)
        ? spread.template operator()<float4>()
        : spread.template operator()<float>();
}

}  // namespace quarot::kernels::cuda
