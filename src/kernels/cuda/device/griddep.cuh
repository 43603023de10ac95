// Programmatic dependent launch: a kernel may start before its predecessor has ended.
#pragma once

namespace quarot::kernels::cuda {

// Everything the predecessor wrote is visible after. No effect in a launch without the attribute.
__device__ __forceinline__ void wait_for_predecessor() {
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

// Rows up to which a kernel runs once on zeros, keeping nothing, before it waits: then its
// instructions and constants are in the caches when the predecessor's results are there. The
// weights that stream by between two launches leave little of them in L2.
inline constexpr int kMostRehearsedRows = 16;

// The successor may start; it still waits for this kernel's end before it reads.
__device__ __forceinline__ void let_successor_start() {
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

}  // namespace quarot::kernels::cuda
