// The tier for AVX-512 F, BW, DQ, VL and VNNI.
#include "kernels/cpu/gemm_int_avx512vnni.h"
#include "kernels/cpu/isa_table.h"
#include "kernels/cpu/simd_avx512.h"

namespace quarot::kernels::cpu {

static constexpr IsaKernels make_table() {
    IsaKernels k = common_kernels<Avx512>("avx512vnni");
    k.token_tile = kVnniSegmentTile;
    k.panel_tokens = kVnniTokens;
    k.pack_tile = k.pack_panel_tile = pack_tile_avx512;
    k.int_panel = int_panel_vnni;
    k.int_segments = int_segments_vnni;
    k.int_segments_row = int_segments_row_vnni;
    k.int_row = int_row_vnni;
    return k;
}

const IsaKernels& avx512vnni_kernels() {
    static constexpr IsaKernels kTable = make_table();
    return kTable;
}

}  // namespace quarot::kernels::cpu
