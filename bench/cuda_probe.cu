#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include "cuda_probe.h"
#include "kernels/cuda/device_info.h"
#include "kernels/cuda/status.h"

namespace quarot::bench {

namespace {

using namespace kernels::cuda;

constexpr int kReaders = 512;
constexpr int kAhead = 4;  // loads of 16 bytes under way a thread

__global__ void __launch_bounds__(kReaders)
    read_kernel(const uint4* from, int64_t n, uint32_t* sink) {
    uint32_t sum = 0;
    const int64_t stride = int64_t{gridDim.x} * kReaders;
    for (int64_t i = int64_t{blockIdx.x} * kReaders + threadIdx.x; i < n; i += kAhead * stride) {
        uint4 v[kAhead] = {};
#pragma unroll
        for (int j = 0; j < kAhead; ++j) {
            if (i + j * stride < n) v[j] = __ldcs(from + i + j * stride);
        }
#pragma unroll
        for (int j = 0; j < kAhead; ++j) sum ^= v[j].x ^ v[j].y ^ v[j].z ^ v[j].w;
    }
    if (sum == 0x12345678u) *sink = sum;
}

// The sum of four bytes of a hash.
__global__ void random_kernel(__half* to, int64_t n, uint32_t seed) {
    const int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
    if (i >= n) return;
    uint32_t x = static_cast<uint32_t>(i) * 2654435761u ^ seed;
    x ^= x >> 15;
    x *= 2246822519u;
    x ^= x >> 13;
    x *= 3266489917u;
    x ^= x >> 16;
    const auto sum = static_cast<float>((x & 255) + (x >> 8 & 255) + (x >> 16 & 255) + (x >> 24));
    to[i] = __float2half_rn((sum - 510.0f) / 148.0f);
}

}  // namespace

void read_all(const void* from, int64_t n, uint32_t* sink, Stream stream) {
    read_kernel<<<current_device().multiprocessors * 4, kReaders, 0, stream>>>(
        static_cast<const uint4*>(from), n / 16, sink);
    check_launch("read_kernel");
}

void fill_random_halves(void* to, int64_t n, uint32_t seed) {
    random_kernel<<<static_cast<unsigned>((n + 255) / 256), 256>>>(static_cast<__half*>(to), n,
                                                                   seed);
    check_launch("random_kernel");
}

}  // namespace quarot::bench
