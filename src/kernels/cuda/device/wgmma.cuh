// Products of warpgroups on bytes (compute capability 9.0a only): d += a b, a 64 x 32 from
// registers, b 32 x N tokens from shared memory, unsigned but for a of wgmma_s8u8, exact 32-bit
// sums.
//
// Thread 32 w + 4 g + t holds of d rows 16 w + g (+ 8) and columns 8 j + 2 t (+ 1): d[4 j + 2 h +
// i] is row + 8 h, column + i.
#pragma once

#include <cstdint>

namespace quarot::kernels::cuda {

// Describes rows of 128 bytes in shared memory with 128-byte swizzle, groups of 8 rows 1024 bytes
// apart. A step of 32 columns advances it by 2.
__device__ __forceinline__ uint64_t swizzled_operand(uint32_t address) {
    constexpr uint64_t kSwizzle128 = uint64_t{1} << 62, kGroup = uint64_t{1024 >> 4} << 32,
                       kLeading = uint64_t{1} << 16;
    return kSwizzle128 | kGroup | kLeading | (address >> 4);
}

__device__ __forceinline__ void wgmma_fence() {
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}
__device__ __forceinline__ void wgmma_commit() {
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
// Until all but the newest kGroups groups are done.
template <int kGroups>
__device__ __forceinline__ void wgmma_wait() {
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kGroups) : "memory");
}

// The accumulators as operands of an asm statement.
#define QUAROT_D4(d, i) "+r"(d[i]), "+r"(d[i + 1]), "+r"(d[i + 2]), "+r"(d[i + 3])
#define QUAROT_D16(d, i) \
    QUAROT_D4(d, i), QUAROT_D4(d, i + 4), QUAROT_D4(d, i + 8), QUAROT_D4(d, i + 12)
#define QUAROT_D64(d, i) \
    QUAROT_D16(d, i), QUAROT_D16(d, i + 16), QUAROT_D16(d, i + 32), QUAROT_D16(d, i + 48)
#define QUAROT_AB "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(add)

// add = 0: d = a b. One overload a tile width N = 2 x the accumulators of a thread.
__device__ __forceinline__ void wgmma_u8(int32_t (&d)[16], const uint32_t* a, uint64_t b, int add) {
    asm volatile(
        "{.reg .pred p; setp.ne.b32 p, %21, 0;\n"
        "wgmma.mma_async.sync.aligned.m64n32k32.s32.u8.u8 {"
        "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15"
        "}, {%16, %17, %18, %19}, %20, p;}"
        : QUAROT_D16(d, 0)
        : QUAROT_AB);
}
__device__ __forceinline__ void wgmma_u8(int32_t (&d)[32], const uint32_t* a, uint64_t b, int add) {
    asm volatile(
        "{.reg .pred p; setp.ne.b32 p, %37, 0;\n"
        "wgmma.mma_async.sync.aligned.m64n64k32.s32.u8.u8 {"
        "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, "
        "%18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
        "}, {%32, %33, %34, %35}, %36, p;}"
        : QUAROT_D16(d, 0), QUAROT_D16(d, 16)
        : QUAROT_AB);
}
__device__ __forceinline__ void wgmma_u8(int32_t (&d)[64], const uint32_t* a, uint64_t b, int add) {
    asm volatile(
        "{.reg .pred p; setp.ne.b32 p, %69, 0;\n"
        "wgmma.mma_async.sync.aligned.m64n128k32.s32.u8.u8 {"
        "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, "
        "%18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, %32, %33, "
        "%34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, "
        "%50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
        "}, {%64, %65, %66, %67}, %68, p;}"
        : QUAROT_D64(d, 0)
        : QUAROT_AB);
}
__device__ __forceinline__ void wgmma_u8(int32_t (&d)[128], const uint32_t* a, uint64_t b,
                                         int add) {
    asm volatile(
        "{.reg .pred p; setp.ne.b32 p, %133, 0;\n"
        "wgmma.mma_async.sync.aligned.m64n256k32.s32.u8.u8 {"
        "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, "
        "%18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, %32, %33, "
        "%34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, "
        "%50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63, %64, %65, "
        "%66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, %80, %81, "
        "%82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95, %96, %97, "
        "%98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, "
        "%111, %112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, "
        "%124, %125, %126, %127"
        "}, {%128, %129, %130, %131}, %132, p;}"
        : QUAROT_D64(d, 0), QUAROT_D64(d, 64)
        : QUAROT_AB);
}

// The same with a signed.
__device__ __forceinline__ void wgmma_s8u8(int32_t (&d)[64], const uint32_t* a, uint64_t b,
                                           int add) {
    asm volatile(
        "{.reg .pred p; setp.ne.b32 p, %69, 0;\n"
        "wgmma.mma_async.sync.aligned.m64n128k32.s32.s8.u8 {"
        "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, "
        "%18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, %32, %33, "
        "%34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, "
        "%50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
        "}, {%64, %65, %66, %67}, %68, p;}"
        : QUAROT_D64(d, 0)
        : QUAROT_AB);
}

// Both sides signed; of 128 columns, 64 of which go into each of two arrays of accumulators.
__device__ __forceinline__ void wgmma_s8(int32_t (&low)[32], int32_t (&high)[32], const uint32_t* a,
                                         uint64_t b, int add) {
    asm volatile(
        "{.reg .pred p; setp.ne.b32 p, %69, 0;\n"
        "wgmma.mma_async.sync.aligned.m64n128k32.s32.s8.s8 {"
        "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, "
        "%18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, %32, %33, "
        "%34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, "
        "%50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
        "}, {%64, %65, %66, %67}, %68, p;}"
        : QUAROT_D16(low, 0), QUAROT_D16(low, 16), QUAROT_D16(high, 0), QUAROT_D16(high, 16)
        : QUAROT_AB);
}

#undef QUAROT_D4
#undef QUAROT_D16
#undef QUAROT_D64
#undef QUAROT_AB

}  // namespace quarot::kernels::cuda
