// Barriers in shared memory that count arrivals and bytes (PTX: mbarrier). Addresses are those of
// the shared window.
#pragma once

#include <cstdint>

namespace quarot::kernels::cuda {

__device__ __forceinline__ uint32_t shared_address(const void* pointer) {
    return static_cast<uint32_t>(__cvta_generic_to_shared(pointer));
}

__device__ __forceinline__ void barrier_init(uint32_t barrier, int arrivals) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(arrivals)
                 : "memory");
}

// Makes initialised barriers visible to the cluster and to the copy engine.
__device__ __forceinline__ void barrier_init_fence() {
    asm volatile("fence.mbarrier_init.release.cluster;\nfence.proxy.async;" ::: "memory");
}

// Arrives, and lets the phase wait for `bytes` of copies too.
__device__ __forceinline__ void barrier_expect(uint32_t barrier, uint32_t bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes)
                 : "memory");
}

__device__ __forceinline__ void barrier_arrive(uint32_t barrier) {
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(barrier) : "memory");
}

// Arrivals of a warp on a barrier: one lane's, after __syncwarp. The race
// checker follows only threads that arrive themselves and wants all of them.
#ifdef QUAROT_RACECHECK
constexpr int kWarpArrivals = 32;
#else
constexpr int kWarpArrivals = 1;
#endif
// One arrival of the warp, after all of its lanes.
__device__ __forceinline__ void arrive_warp(uint32_t barrier) {
    __syncwarp();
    if (kWarpArrivals == 32 || threadIdx.x % 32 == 0) barrier_arrive(barrier);
}

// On the barrier at the same offset in CTA `rank` of the cluster. Orders nothing: for readers that
// hold what they read in registers. As a release it costs a MEMBAR.ALL.GPU.
__device__ __forceinline__ void barrier_arrive_remote(uint32_t barrier, uint32_t rank) {
    asm volatile(
        "{.reg .b32 remote; mapa.shared::cluster.u32 remote, %0, %1;\n"
        "mbarrier.arrive.shared::cluster.b64 _, [remote];}" ::"r"(barrier),
        "r"(rank)
        : "memory");
}

// The same for writers of distributed shared memory: what they wrote is visible after the wait.
__device__ __forceinline__ void barrier_release_remote(uint32_t barrier, uint32_t rank) {
    asm volatile(
        "{.reg .b32 remote; mapa.shared::cluster.u32 remote, %0, %1;\n"
        "mbarrier.arrive.release.cluster.shared::cluster.b64 _, [remote];}" ::"r"(barrier),
        "r"(rank)
        : "memory");
}

// Returns once the phase of this parity is complete. A spin limit with a trap here makes ptxas
// serialise every wgmma of the kernel (C7512).
__device__ __forceinline__ void barrier_wait(uint32_t barrier, uint32_t parity) {
    uint32_t done = 0;
    while (done == 0) {
        asm volatile(
            "{.reg .pred p; mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\n"
            "selp.u32 %0, 1, 0, p;}"
            : "=r"(done)
            : "r"(barrier), "r"(parity)
            : "memory");
    }
}

// Whether the phase of this parity is complete; does not wait.
__device__ __forceinline__ bool barrier_done(uint32_t barrier, uint32_t parity) {
    uint32_t done;
    asm volatile(
        "{.reg .pred p; mbarrier.test_wait.parity.shared::cta.b64 p, [%1], %2;\n"
        "selp.u32 %0, 1, 0, p;}"
        : "=r"(done)
        : "r"(barrier), "r"(parity)
        : "memory");
    return done != 0;
}

// barrier_wait on any architecture.
__device__ __forceinline__ void barrier_await(uint32_t barrier, uint32_t parity) {
#if __CUDA_ARCH__ >= 900
    barrier_wait(barrier, parity);
#else
    while (!barrier_done(barrier, parity)) {
    }
#endif
}

__device__ __forceinline__ void barrier_wait_cluster(uint32_t barrier, uint32_t parity) {
    uint32_t done = 0;
    while (done == 0) {
        asm volatile(
            "{.reg .pred p;\n"
            "mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 p, [%1], %2;\n"
            "selp.u32 %0, 1, 0, p;}"
            : "=r"(done)
            : "r"(barrier), "r"(parity)
            : "memory");
    }
}

// A barrier of `threads` threads of the CTA; id 0 is __syncthreads'.
__device__ __forceinline__ void named_barrier(int id, int threads) {
    asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

}  // namespace quarot::kernels::cuda
