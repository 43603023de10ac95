// Clusters of CTAs and their distributed shared memory. Empty for architectures without them, on
// which nobody launches a cluster.
#pragma once

#include <cstdint>

namespace quarot::kernels::cuda {

__device__ __forceinline__ uint32_t cluster_rank() {
    uint32_t rank = 0;
#if __CUDA_ARCH__ >= 900
    asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
#endif
    return rank;
}

// All threads of the cluster; shared memory written before is visible after.
__device__ __forceinline__ void cluster_sync() {
#if __CUDA_ARCH__ >= 900
    asm volatile("barrier.cluster.arrive.release;\nbarrier.cluster.wait.acquire;" ::: "memory");
#endif
}

// 16 bytes at the same offset in CTA `rank`.
__device__ __forceinline__ int4 load_remote(uint32_t address, uint32_t rank) {
    int4 v = {};
#if __CUDA_ARCH__ >= 900
    asm volatile(
        "{.reg .b32 remote; mapa.shared::cluster.u32 remote, %4, %5;\n"
        "ld.shared::cluster.v4.s32 {%0, %1, %2, %3}, [remote];}"
        : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
        : "r"(address), "r"(rank)
        : "memory");
#endif
    return v;
}
// The CTA must be running.
__device__ __forceinline__ void store_remote(uint32_t address, uint32_t rank, const uint4& v) {
#if __CUDA_ARCH__ >= 900
    asm volatile(
        "{.reg .b32 remote; mapa.shared::cluster.u32 remote, %0, %1;\n"
        "st.shared::cluster.v4.b32 [remote], {%2, %3, %4, %5};}" ::"r"(address),
        "r"(rank), "r"(v.x), "r"(v.y), "r"(v.z), "r"(v.w)
        : "memory");
#endif
}
__device__ __forceinline__ void store_remote(uint32_t address, uint32_t rank, uint32_t v) {
#if __CUDA_ARCH__ >= 900
    asm volatile(
        "{.reg .b32 remote; mapa.shared::cluster.u32 remote, %0, %1;\n"
        "st.shared::cluster.b32 [remote], %2;}" ::"r"(address),
        "r"(rank), "r"(v)
        : "memory");
#endif
}

}  // namespace quarot::kernels::cuda
