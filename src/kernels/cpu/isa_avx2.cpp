// The tier for AVX2, FMA and F16C.
#include "kernels/cpu/gemm_int_avx2.h"
#include "kernels/cpu/isa_table.h"
#include "kernels/cpu/simd_avx2.h"

namespace quarot::kernels::cpu {

static constexpr IsaKernels make_table() {
    IsaKernels k = common_kernels<Avx2>("avx2");
    k.int_panel = int_panel_avx2;
    k.token_tile = kSegmentTokens;
    k.int_segments = int_segments_avx2;
    k.int_segments_row = int_segments_row_avx2;
    k.int_row = int_row_avx2;
    return k;
}

const IsaKernels& avx2_kernels() {
    static constexpr IsaKernels kTable = make_table();
    return kTable;
}

}  // namespace quarot::kernels::cpu
