// Products of warpgroups on halves (compute capability 9.0a only): d += a b, a 64 x 16 from
// registers, b 16 x N from shared memory, fp32 sums. On an H200 the sums have the bits of
// mma.sync.m16n8k16 over the same 16 elements, whichever factor is operand a.
//
// Thread 32 w + 4 g + t holds of d rows 16 w + g (+ 8) and columns 8 j + 2 t (+ 1): d[4 j + 2 h +
// i] is row + 8 h, column + i. a: rows g, g + 8 of elements 2t, 2t + 1, then of 2t + 8, 2t + 9.
//
// b lies in rows of 128 bytes as swizzled_operand (wgmma.cuh) describes them. kTransposed = 0:
// such a row is 64 of the summed elements, 16 of them advance the descriptor by 2. kTransposed = 1:
// it is 64 of the N columns, 16 summed elements advance the descriptor by 128.
#pragma once

#include <cstdint>

namespace quarot::kernels::cuda {

// Rows of 128 bytes with 128-byte swizzle, 64 rows to 64 columns of b, one after the other.
__device__ __forceinline__ uint64_t transposed_operand(uint32_t address) {
    constexpr uint64_t kSwizzle128 = uint64_t{1} << 62, kGroup = uint64_t{1024 >> 4} << 32,
                       kNextColumns = uint64_t{8192 >> 4} << 16;
    return kSwizzle128 | kGroup | kNextColumns | (address >> 4);
}

// Keeps the compiler from moving uses of d across this point, where products start or are done.
template <int kCount>
__device__ __forceinline__ void keep_in_place(float (&d)[kCount]) {
#pragma unroll
    for (int i = 0; i < kCount; ++i) asm volatile("" : "+f"(d[i])::"memory");
}

// The accumulators as operands of an asm statement.
#define QUAROT_D4(i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3])
#define QUAROT_D16(i) QUAROT_D4(i), QUAROT_D4(i + 4), QUAROT_D4(i + 8), QUAROT_D4(i + 12)
#define QUAROT_AB "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(add), "n"(kTransposed)

// add = 0: d = a b. N = 2 x the accumulators of a thread.
template <int kTransposed>
__device__ __forceinline__ void wgmma_half(float (&d)[32], const uint32_t (&a)[4], uint64_t b,
                                           int add) {
    asm volatile(
        "{.reg .pred p; setp.ne.b32 p, %37, 0;\n"
        "wgmma.mma_async.sync.aligned.m64n64k16.f32.f16.f16 {"
        "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, "
        "%17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
        "}, {%32, %33, %34, %35}, %36, p, 1, 1, %38;}"
        : QUAROT_D16(0), QUAROT_D16(16)
        : QUAROT_AB);
}
template <int kTransposed>
__device__ __forceinline__ void wgmma_half(float (&d)[64], const uint32_t (&a)[4], uint64_t b,
                                           int add) {
    asm volatile(
        "{.reg .pred p; setp.ne.b32 p, %69, 0;\n"
        "wgmma.mma_async.sync.aligned.m64n128k16.f32.f16.f16 {"
        "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, "
        "%17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
        "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, "
        "%47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, "
        "%62, %63"
        "}, {%64, %65, %66, %67}, %68, p, 1, 1, %70;}"
        : QUAROT_D16(0), QUAROT_D16(16), QUAROT_D16(32), QUAROT_D16(48)
        : QUAROT_AB);
}

#undef QUAROT_D4
#undef QUAROT_D16
#undef QUAROT_AB

}  // namespace quarot::kernels::cuda
