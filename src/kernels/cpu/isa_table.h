// The part of a tier's table that is written once over its vector type.
#pragma once

#include "kernels/cpu/attention.h"
#include "kernels/cpu/elementwise.h"
#include "kernels/cpu/gemm_float.h"
#include "kernels/cpu/gemm_int_scalar.h"
#include "kernels/cpu/gram.h"
#include "kernels/cpu/hadamard.h"
#include "kernels/cpu/isa_kernels.h"

namespace quarot::kernels::cpu {

template <class S>
static constexpr IsaKernels common_kernels(const char* name) {
    IsaKernels k{};
    k.name = name;
    k.token_tile = kTileSlots;
    k.panel_tokens = kTileSlots;
    k.range_of = range_of<S>;
    k.quantize_row = quantize_row<S>;
    k.dequantize_row = dequantize_row<S>;
    k.widen_row = widen_row<S>;
    k.rms_norm_row = rms_norm_row<S>;
    k.layer_norm_row = layer_norm_row<S>;
    k.scale_row = scale_row<S>;
    k.activate_row = activate_row<S>;
    k.rope_head = rope_head<S>;
    k.exp_row = exp_row<S>;
    k.sylvester = sylvester<S>;
    k.round_to_half = round_to_half<S>;
    k.dense_mix = dense_mix<S>;
    k.pack_tile = pack_tile<S>;
    k.pack_panel_tile = pack_tile<S>;
    k.int_wide = int_wide<S>;
    k.dense_panel = dense_panel<S>;
    k.mixed_panel = mixed_panel<S>;
    k.gram_tile = gram_tile<S>;
    k.attend_page = attend_page<S>;
    k.finish_row = finish_row<S>;
    return k;
}

}  // namespace quarot::kernels::cpu
