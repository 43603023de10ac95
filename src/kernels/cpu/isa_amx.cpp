// The tier for AMX-INT8, beside AVX-512 VNNI.
#include "kernels/cpu/gemm_int_amx.h"
#include "kernels/cpu/isa_table.h"
#include "kernels/cpu/simd_avx512.h"

namespace quarot::kernels::cpu {

static constexpr IsaKernels make_table() {
    IsaKernels k = common_kernels<Avx512>("amx");
    k.token_tile = kVnniSegmentTile;
    k.panel_tokens = kAmxTokens;
    k.pack_tile = pack_tile_avx512;
    k.pack_panel_tile = pack_tile_amx;
    k.int_panel = int_panel_amx;
    k.int_segments = int_segments_vnni;
    k.int_segments_row = int_segments_row_vnni;
    k.int_row = int_row_vnni;
    return k;
}

const IsaKernels& amx_kernels() {
    static constexpr IsaKernels kTable = make_table();
    return kTable;
}

}  // namespace quarot::kernels::cpu
