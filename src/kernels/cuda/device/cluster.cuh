// Clusters of CTAs and their distributed shared memory.
#pragma once

#include <cstdint>

namespace quarot::kernels::cuda {

__device__ __forceinline__ uint32_t cluster_rank() {
    uint32_t rank;
    asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
    return rank;
}

// All threads of the cluster; shared memory written before is visible after.
__device__ __forceinline__ void cluster_sync() {
    asm volatile("barrier.cluster.arrive.release;\nbarrier.cluster.wait.acquire;" ::: "memory");
}

// 16 bytes at the same offset in CTA `rank`.
__device__ __forceinline__ int4 load_remote(uint32_t address, uint32_t rank) {
    int4 v;
    asm volatile(
        "{.reg .b32 remote; mapa.shared::cluster.u32 remote, %4, %5;\n"
        "ld.shared::cluster.v4.s32 {%0, %1, %2, %3}, [remote];}"
        : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
        : "r"(address), "r"(rank)
        : "memory");
    return v;
}

}  // namespace quarot::kernels::cuda
