#include "kernels/cpu/row_quantizer.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace quarot::kernels::cpu {

namespace {

// How a group becomes codes, and what else is kept of it.
struct GroupCodes {
    RowQuantizer quantizer;
    int32_t offset = 0;
    float base = 0.0f;
};

// Values that are not finite, or a range that fp32 does not hold.
GroupCodes unusable_group() {
    return {{std::numeric_limits<float>::infinity(), 0.0f, 0.0f, 0.0f, 0.0f}};
}

GroupCodes symmetric_group(const RowRange& range, const ActivationFormat& format) {
    const float max_abs = std::max(std::fabs(range.lo), std::fabs(range.hi)) * format.clip;
    const Affine affine = symmetric_affine(max_abs, format.bits);
    const auto q_max = static_cast<float>(symmetric_max(format.bits));
    return {{affine.scale, 0.0f, -q_max - 1.0f, q_max, 0.0f}};
}

GroupCodes asymmetric_group(RowRange range, const ActivationFormat& format) {
    if (format.group_size == 0) {  // the range of a whole row includes 0, that of a group need not
        range.lo = std::min(range.lo, 0.0f);
        range.hi = std::max(range.hi, 0.0f);
    }
    const float lo = range.lo * format.clip, hi = range.hi * format.clip;
    const auto q_max = static_cast<float>(asymmetric_max(format.bits));
    const int shift = 1 << (format.bits - 1);
    if (format.has_bases()) {
        const RealAffine affine = real_affine(lo, hi, format.bits);
        return {
            .quantizer = {affine.scale, 0.0f, 0.0f, q_max, static_cast<float>(shift), affine.lo},
            .base = affine.base(format.bits)};
    }
    const Affine affine = asymmetric_affine(lo, hi, format.bits);
    return {.quantizer = {affine.scale, static_cast<float>(affine.zero), 0.0f, q_max,
                          static_cast<float>(shift)},
            .offset = affine.zero - shift};
}

}  // namespace

bool quantize_activation_row(const IsaKernels& isa, const float* x, const QuantizedRows& out,
                             int64_t row) {
    const ActivationFormat format = out.format_of(row);
    int8_t* codes = out.row_codes(row);
    const int64_t n_groups = out.n_groups(), size = out.cols / n_groups;
    bool finite = true;
    for (int64_t g = 0; g < n_groups; ++g) {
        const RowRange range = isa.range_of(x + g * size, size);
        const int64_t at = row * n_groups + g;
        GroupCodes group = unusable_group();
        if (range.finite) {
            group =
                format.symmetric ? symmetric_group(range, format) : asymmetric_group(range, format);
        }
        if (std::isfinite(group.quantizer.scale)) {
            out.row_sums[at] =
                isa.quantize_row(x + g * size, size, group.quantizer, codes + g * size);
            out.scales[at] = group.quantizer.scale;
        } else {
            finite = false;
            group = unusable_group();
            std::memset(codes + g * size, 0, static_cast<size_t>(size));
            out.row_sums[at] = 0;
            out.scales[at] = 1.0f;
        }
        if (out.offsets != nullptr) out.offsets[at] = group.offset;
        if (out.bases != nullptr) out.bases[at] = group.base;
    }
    std::memset(codes + out.cols, 0, static_cast<size_t>(out.stride - out.cols));
    return finite;
}

bool quantize_kv_vector(const IsaKernels& isa, const float* x, int64_t n, const KvFormat& format,
                        uint8_t* codes, Affine& affine) {
    RowRange range = isa.range_of(x, n);
    if (format.range_includes_zero) {
        range.lo = std::min(range.lo, 0.0f);
        range.hi = std::max(range.hi, 0.0f);
    }
    if (range.finite) {
        affine = asymmetric_affine(range.lo * format.clip, range.hi * format.clip, format.bits);
    }
    if (!range.finite || !std::isfinite(affine.scale)) {
        std::memset(codes, 0, static_cast<size_t>(n));
        affine = {1.0f, 0};
        return false;
    }
    const RowQuantizer quantizer{affine.scale, static_cast<float>(affine.zero), 0.0f,
                                 static_cast<float>(asymmetric_max(format.bits)), 0.0f};
    isa.quantize_row(x, n, quantizer, codes);
    return true;
}

}  // namespace quarot::kernels::cpu
