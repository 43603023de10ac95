// How many CTAs of a multiprocessor bound a kernel's registers.
#pragma once

namespace quarot::kernels::cuda {

// Tuned for compute capability 9.0; elsewhere 1, which leaves the registers to the compiler.
constexpr int bounded_ctas(int ctas) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 900
    return 1;
#else
    return ctas;
#endif
}

}  // namespace quarot::kernels::cuda
