// Tokens of a unit in the shared memory of the tiles that multiply by mma.sync.
#pragma once

#include <cstdint>

namespace quarot::kernels::cuda {

// Where a chunk of 16 bytes of a token lies in a unit: 8 tokens' chunks meet all banks.
__device__ __forceinline__ uint32_t token_chunk(int token, int chunk) {
    return token * 64 + ((chunk ^ (token / 2 & 3)) << 4);
}

}  // namespace quarot::kernels::cuda
