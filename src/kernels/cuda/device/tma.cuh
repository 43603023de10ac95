// The copy engine: bulk copies between global and shared memory that complete on an mbarrier.
#pragma once

#include <cuda.h>

#include <cstdint>

namespace quarot::kernels::cuda {

// A run of bytes, a multiple of 16.
__device__ __forceinline__ void copy_run(uint32_t to, const void* from, uint32_t bytes,
                                         uint32_t barrier) {
    asm volatile(
        "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::
            "r"(to),
        "l"(from), "r"(bytes), "r"(barrier)
        : "memory");
}

// A box of a matrix, its first element at (column, row). kCluster > 1: to that many CTAs at once,
// each told by its own barrier at the same offset.
template <int kCluster>
__device__ __forceinline__ void copy_box(uint32_t to, const CUtensorMap* map, int column, int row,
                                         uint32_t barrier) {
    if constexpr (kCluster == 1) {
        asm volatile(
            "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes "
            "[%0], [%1, {%2, %3}], [%4];" ::"r"(to),
            "l"(map), "r"(column), "r"(row), "r"(barrier)
            : "memory");
    } else {
        asm volatile(
            "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes"
            ".multicast::cluster [%0], [%1, {%2, %3}], [%4], %5;" ::"r"(to),
            "l"(map), "r"(column), "r"(row), "r"(barrier),
            "h"(static_cast<uint16_t>((1 << kCluster) - 1))
            : "memory");
    }
}

// Back to the matrix, clipped at its borders, as one group of copies of this thread.
__device__ __forceinline__ void store_box(const CUtensorMap* map, uint32_t from, int column,
                                          int row) {
    asm volatile(
        "cp.async.bulk.tensor.2d.global.shared::cta.bulk_group [%0, {%1, %2}], [%3];" ::"l"(map),
        "r"(column), "r"(row), "r"(from)
        : "memory");
    asm volatile("cp.async.bulk.commit_group;" ::: "memory");
}

// Until all but the newest kGroups groups of this thread have read their shared memory.
template <int kGroups>
__device__ __forceinline__ void wait_stores_read() {
    asm volatile("cp.async.bulk.wait_group.read %0;" ::"n"(kGroups) : "memory");
}

// Until all groups of this thread are written.
__device__ __forceinline__ void wait_stores() {
    asm volatile("cp.async.bulk.wait_group 0;" ::: "memory");
}

// Shared memory written by ordinary stores is visible to the copy engine after this and a barrier.
__device__ __forceinline__ void fence_for_copy_engine() {
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

}  // namespace quarot::kernels::cuda
