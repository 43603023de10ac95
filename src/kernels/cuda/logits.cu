#include <cuda_runtime.h>

#include "kernels/cuda/block_reduce.cuh"
#include "kernels/cuda/device/griddep.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/logits.h"
#include "kernels/cuda/row_quantizer.cuh"
#include "kernels/cuda/status.h"

namespace quarot::kernels::cuda {

namespace {

constexpr int kThreads = 512;

__device__ const float* row_of(const RowsView& rows) {
    return static_cast<const float*>(rows.data) + blockIdx.x * rows.stride;
}

__device__ float largest_of(BlockTeam& team, const float* x, int64_t n) {
    KeyRange range;
    for (int64_t i = threadIdx.x; i < n; i += kThreads) range.include(order_key(x[i]));
    return from_order_key(team.range(range).high);
}

// log(sum exp(x)); every thread gets it.
__device__ double log_sum_exp(BlockTeam& team, const float* x, int64_t n) {
    const double largest = largest_of(team, x, n);
    double sum = 0.0;
#pragma unroll 1
    for (int64_t i = threadIdx.x; i < n; i += kThreads) sum += exp(x[i] - largest);
    return largest + log(team.sum(sum));
}

__global__ void __launch_bounds__(kThreads)
    log_probability_rows(const __grid_constant__ RowsView logits, const int32_t* targets,
                         double* out) {
    __shared__ BlockScratch scratch;
    let_successor_start();
    wait_for_predecessor();
    const float* x = row_of(logits);
    const int32_t target = targets[blockIdx.x];
    if (target < 0) {
        if (threadIdx.x == 0) out[blockIdx.x] = 0.0;
        return;
    }
    const float chosen = x[target];
    BlockTeam team(scratch);
    const double total = log_sum_exp(team, x, logits.cols);
    if (threadIdx.x == 0) out[blockIdx.x] = chosen - total;
}

__global__ void __launch_bounds__(kThreads)
    divergence_rows(const __grid_constant__ RowsView base, const __grid_constant__ RowsView model,
                    double* out) {
    __shared__ BlockScratch scratch;
    let_successor_start();
    wait_for_predecessor();
    BlockTeam team(scratch);
    const float *p = row_of(base), *q = row_of(model);
    const double p_total = log_sum_exp(team, p, base.cols);
    const double q_total = log_sum_exp(team, q, base.cols);
    double sum = 0.0;
    for (int64_t i = threadIdx.x; i < base.cols; i += kThreads) {
        const double log_p = p[i] - p_total, log_q = q[i] - q_total;
        const double probability = exp(log_p);
        if (probability > 0.0) sum += probability * (log_p - log_q);
    }
    sum = team.sum(sum);
    if (threadIdx.x == 0) out[blockIdx.x] = sum;
}

// A token as one number: greater is better. Logits first, then the lower id.
__device__ uint64_t rank_key(float logit, int64_t id) {
    const int32_t key = isnan(logit) ? INT32_MIN : order_key(logit == 0.0f ? 0.0f : logit);
    const uint32_t ordered = static_cast<uint32_t>(key) ^ 0x80000000u;
    return static_cast<uint64_t>(ordered) << 32 | (0xffffffffu - static_cast<uint32_t>(id));
}

__device__ uint64_t greatest_over_warp(uint64_t x) {
#pragma unroll
    for (int step = 16; step > 0; step /= 2) {
        const uint64_t other = __shfl_xor_sync(kAllLanes, x, step);
        x = max(x, other);
    }
    return x;
}

// Counts the keys whose bits above `shift + 8` equal those of `prefix`, by the next 8 bits.
__device__ void count_digits(const float* x, int64_t n, uint64_t prefix, int shift, int* counts) {
    for (int i = threadIdx.x; i < 256; i += kThreads) counts[i] = 0;
    __syncthreads();
    for (int64_t i = threadIdx.x; i < n; i += kThreads) {
        const uint64_t key = rank_key(x[i], i);
        const bool matches = shift == 56 || key >> (shift + 8) == prefix >> (shift + 8);
        if (matches) atomicAdd(counts + (key >> shift & 255), 1);
    }
    __syncthreads();
}

// The k-th greatest key, found digit by digit from the top: keys are all different.
__device__ uint64_t kth_key(const float* x, int64_t n, int64_t k, int* counts) {
    __shared__ uint64_t found;
    __shared__ int64_t left;
    if (threadIdx.x == 0) found = 0, left = k;
    for (int shift = 56; shift >= 0; shift -= 8) {
        __syncthreads();
        count_digits(x, n, found, shift, counts);
        if (threadIdx.x == 0) {
            int digit = 255;
            while (counts[digit] < left) left -= counts[digit--];
            found |= static_cast<uint64_t>(digit) << shift;
        }
    }
    __syncthreads();
    return found;
}

__device__ void store_rank(const TopArgs& a, int64_t at, uint64_t key) {
    const auto id = static_cast<int64_t>(0xffffffffu - static_cast<uint32_t>(key));
    a.ids[blockIdx.x * a.k + at] = static_cast<int32_t>(id);
    if (a.values != nullptr) a.values[blockIdx.x * a.k + at] = row_of(a.logits)[id];
}

// A decode step ends with this kernel, one CTA a sequence: the loads of a thread go together.
constexpr int kBestThreads = 1024;

__global__ void __launch_bounds__(kBestThreads) best_rows(const __grid_constant__ TopArgs a) {
    constexpr int kAhead = 8;
    __shared__ uint64_t of_warp[kBestThreads / 32];
    let_successor_start();
    wait_for_predecessor();
    const float* x = row_of(a.logits);
    const int64_t n = a.logits.cols;
    uint64_t best = 0;
    for (int64_t first = threadIdx.x; first < n; first += kAhead * kBestThreads) {
        float logits[kAhead];
#pragma unroll
        for (int i = 0; i < kAhead; ++i) {
            const int64_t id = first + i * kBestThreads;
            if (id < n) logits[i] = x[id];
        }
#pragma unroll
        for (int i = 0; i < kAhead; ++i) {
            const int64_t id = first + i * kBestThreads;
            if (id < n) best = max(best, rank_key(logits[i], id));
        }
    }
    best = greatest_over_warp(best);
    if (threadIdx.x % 32 == 0) of_warp[threadIdx.x / 32] = best;
    __syncthreads();
    if (threadIdx.x >= 32) return;
    best = greatest_over_warp(of_warp[threadIdx.x]);
    if (threadIdx.x == 0) store_rank(a, 0, best);
}

// Selects the keys that reach the k-th, then places each by counting those above it.
__global__ void __launch_bounds__(kThreads) top_rows(const __grid_constant__ TopArgs a) {
    __shared__ uint64_t scratch[kMostTop];
    __shared__ int counts[256], n_selected;
    let_successor_start();
    wait_for_predecessor();
    const float* x = row_of(a.logits);
    const int64_t n = a.logits.cols;
    const uint64_t least = kth_key(x, n, a.k, counts);
    if (threadIdx.x == 0) n_selected = 0;
    __syncthreads();
    for (int64_t i = threadIdx.x; i < n; i += kThreads) {
        const uint64_t key = rank_key(x[i], i);
        if (key >= least) scratch[atomicAdd(&n_selected, 1)] = key;
    }
    __syncthreads();
    for (int64_t i = threadIdx.x; i < a.k; i += kThreads) {
        int64_t above = 0;
        for (int64_t j = 0; j < a.k; ++j) above += scratch[j] > scratch[i];
        store_rank(a, above, scratch[i]);
    }
}

void check_logits(const RowsView& rows) {
    require(rows.dtype == DType::F32 && rows.cols >= 1 && rows.cols <= INT32_MAX, "logits: rows");
}

LaunchShape shape_of(const RowsView& rows, unsigned threads = kThreads) {
    return {.grid = static_cast<unsigned>(rows.rows), .block = threads};
}

}  // namespace

void log_probabilities(const RowsView& logits, const int32_t* targets, double* out, Stream stream) {
    check_logits(logits);
    if (logits.rows == 0) return;
    launch("log_probability_rows", log_probability_rows, shape_of(logits), stream, logits, targets,
           out);
}

void top_logits(const TopArgs& args, Stream stream) {
    check_logits(args.logits);
    require(args.k >= 1 && args.k <= kMostTop && args.k <= args.logits.cols, "top_logits: k");
    if (args.logits.rows == 0) return;
    if (args.k == 1) {
        launch("best_rows", best_rows, shape_of(args.logits, kBestThreads), stream, args);
    } else {
        launch("top_rows", top_rows, shape_of(args.logits), stream, args);
    }
}

void divergence(const RowsView& base, const RowsView& model, double* out, Stream stream) {
    check_logits(base);
    check_logits(model);
    require(base.rows == model.rows && base.cols == model.cols, "divergence: shapes");
    if (model.rows == 0) return;
    launch("divergence_rows", divergence_rows, shape_of(model), stream, base, model, out);
}

}  // namespace quarot::kernels::cuda
