// Operand fragments of m16n8k16 that attention loads, transposes and exponentiates.
#pragma once

#include <cstdint>

namespace quarot::kernels::cuda {

// Four 8 x 8 tiles of 16-bit elements; lane i gives the address of row i % 8 of tile i / 8.
__device__ __forceinline__ void load_tiles(uint32_t (&tiles)[4], uint32_t address) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(tiles[0]), "=r"(tiles[1]), "=r"(tiles[2]), "=r"(tiles[3])
                 : "r"(address)
                 : "memory");
}

// The transpose of an 8 x 8 tile of 16-bit elements: lane 4 g + t gives elements (g, 2t), (g, 2t+1)
// and receives (2t, g), (2t+1, g).
__device__ __forceinline__ uint32_t transpose_tile(uint32_t pair) {
    uint32_t result;
    asm("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(result) : "r"(pair));
    return result;
}

__device__ __forceinline__ void store_shared(uint32_t address, const float4& v) {
    asm volatile("st.shared.v4.f32 [%0], {%1, %2, %3, %4};" ::"r"(address), "f"(v.x), "f"(v.y),
                 "f"(v.z), "f"(v.w)
                 : "memory");
}

// 2^x within two units of the last place; 0 for -inf and below the normal numbers.
__device__ __forceinline__ float exp2_approximate(float x) {
    float result;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
    return result;
}

}  // namespace quarot::kernels::cuda
