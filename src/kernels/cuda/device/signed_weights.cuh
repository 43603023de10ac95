// Weights less their zero points, four at a time.
#pragma once

#include <cstdint>

namespace quarot::kernels::cuda {

// Signed bytes w - zero of the nibbles at `shift`, 0 or 4. zeros: four zero points, of at most 15.
// With its highest bit set no byte borrows from the next one.
__device__ __forceinline__ uint32_t signed_weights(uint32_t nibbles, int shift, uint32_t zeros) {
    const uint32_t codes = (nibbles >> shift) & 0x0F0F0F0Fu;
    return ((codes | 0x80808080u) - zeros) ^ 0x80808080u;
}

}  // namespace quarot::kernels::cuda
