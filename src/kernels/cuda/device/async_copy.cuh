// Copies from global to shared memory that go on while the thread computes (PTX: cp.async).
// Addresses are those of the shared window.
#pragma once

#include <cstdint>

namespace quarot::kernels::cuda {

// 16 bytes, both sides aligned; past L1.
__device__ __forceinline__ void copy_async(uint32_t to, const void* from) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to), "l"(from) : "memory");
}

// The same where `present`, else 16 zero bytes; `from` is not read then.
__device__ __forceinline__ void copy_async_or_zero(uint32_t to, const void* from, bool present) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from),
                 "r"(present ? 16 : 0)
                 : "memory");
}

// 8 bytes, aligned, through L1, as copy_async_or_zero.
__device__ __forceinline__ void copy_eight_bytes_or_zero(uint32_t to, const void* from,
                                                         bool present) {
    asm volatile("cp.async.ca.shared.global [%0], [%1], 8, %2;" ::"r"(to), "l"(from),
                 "r"(present ? 8 : 0)
                 : "memory");
}

// As copy_async; the L2 cache fetches the 256 bytes around them.
__device__ __forceinline__ void copy_of_many(uint32_t to, const void* from) {
    asm volatile("cp.async.cg.shared.global.L2::256B [%0], [%1], 16;" ::"r"(to), "l"(from)
                 : "memory");
}

// 4 bytes, through L1.
__device__ __forceinline__ void copy_word(uint32_t to, const void* from) {
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4;" ::"r"(to), "l"(from) : "memory");
}

// Ends a group: the copies this thread issued since the last group.
__device__ __forceinline__ void end_copy_group() {
    asm volatile("cp.async.commit_group;" ::: "memory");
}

// Waits until at most `kPending` groups of this thread are under way. What other threads copied
// needs a barrier on top.
template <int kPending>
__device__ __forceinline__ void wait_for_copies() {
    asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

}  // namespace quarot::kernels::cuda
