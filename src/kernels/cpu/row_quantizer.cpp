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

RowRange with_zero(const RowRange& range) {
    return {std::min(range.lo, 0.0f), std::max(range.hi, 0.0f), range.finite};
}

GroupCodes real_group(const RealAffine& affine, int bits) {
    const int shift = 1 << (bits - 1);
    return {.quantizer = {affine.scale, 0.0f, 0.0f, static_cast<float>(asymmetric_max(bits)),
                          static_cast<float>(shift), affine.lo},
            .base = affine.base(bits)};
}

GroupCodes symmetric_group(float scale, int bits) {
    const auto q_max = static_cast<float>(symmetric_max(bits));
    return {{scale, 0.0f, -q_max - 1.0f, q_max, 0.0f}};
}

GroupCodes symmetric_group(const RowRange& range, const ActivationFormat& format) {
    const float max_abs = std::max(std::fabs(range.lo), std::fabs(range.hi)) * format.clip;
    return symmetric_group(symmetric_affine(max_abs, format.bits).scale, format.bits);
}

GroupCodes asymmetric_group(RowRange range, const ActivationFormat& format) {
    if (format.range_includes_zero()) range = with_zero(range);
    const float lo = range.lo * format.clip, hi = range.hi * format.clip;
    if (format.has_bases()) return real_group(real_affine(lo, hi, format.bits), format.bits);
    const auto q_max = static_cast<float>(asymmetric_max(format.bits));
    const int shift = 1 << (format.bits - 1);
    const Affine affine = asymmetric_affine(lo, hi, format.bits);
    return {.quantizer = {affine.scale, static_cast<float>(affine.zero), 0.0f, q_max,
                          static_cast<float>(shift)},
            .offset = affine.zero - shift};
}

// Codes of one group of a row and what belongs to them; false if the group cannot be used.
bool write_group(const IsaKernels& isa, const float* x, GroupCodes group, const QuantizedRows& out,
                 int64_t row, int64_t g) {
    const int64_t n_groups = out.n_groups(), size = out.cols / n_groups;
    const int64_t at = row * n_groups + g;
    int8_t* codes = out.row_codes(row) + g * size;
    const bool usable = std::isfinite(group.quantizer.scale);
    if (usable) {
        out.row_sums[at] = isa.quantize_row(x, size, group.quantizer, codes);
        out.scales[at] = group.quantizer.scale;
    } else {
        group = unusable_group();
        std::memset(codes, 0, static_cast<size_t>(size));
        out.row_sums[at] = 0;
        out.scales[at] = 1.0f;
    }
    if (out.offsets != nullptr) out.offsets[at] = group.offset;
    if (out.bases != nullptr) out.bases[at] = group.base;
    return usable;
}

bool quantize_groups(const IsaKernels& isa, const float* x, const ActivationFormat& format,
                     const QuantizedRows& out, int64_t row) {
    const int64_t n_groups = out.n_groups(), size = out.cols / n_groups;
    bool finite = true;
    for (int64_t g = 0; g < n_groups; ++g) {
        const RowRange range = isa.range_of(x + g * size, size);
        GroupCodes group = unusable_group();
        if (range.finite) {
            group =
                format.symmetric ? symmetric_group(range, format) : asymmetric_group(range, format);
        }
        finite &= write_group(isa, x + g * size, group, out, row, g);
    }
    return finite;
}

// Writes the steps of a row's groups, infinite ones of those that cannot be used, where scales will
// stand, and their lowest values where bases will. Returns the row's unit.
float put_steps(const IsaKernels& isa, const float* x, const ActivationFormat& format,
                const QuantizedRows& out, int64_t row) {
    const int64_t n_groups = out.n_groups(), size = out.cols / n_groups;
    const auto levels = static_cast<float>(format.symmetric ? symmetric_max(format.bits)
                                                            : asymmetric_max(format.bits));
    float largest = 0.0f;
    for (int64_t g = 0; g < n_groups; ++g) {
        const RowRange range = with_zero(isa.range_of(x + g * size, size));
        const float lo = range.lo * format.clip, hi = range.hi * format.clip;
        float step = (format.symmetric ? std::max(-lo, hi) : hi - lo) / levels;
        if (!range.finite || !std::isfinite(step)) step = std::numeric_limits<float>::infinity();
        if (std::isfinite(step)) largest = std::max(largest, step);
        const int64_t at = row * n_groups + g;
        out.scales[at] = step;
        if (out.bases != nullptr) out.bases[at] = lo;
    }
    return unit_of_steps(largest);
}

bool quantize_two_level(const IsaKernels& isa, const float* x, const ActivationFormat& format,
                        const QuantizedRows& out, int64_t row) {
    const int64_t n_groups = out.n_groups(), size = out.cols / n_groups;
    const float unit = put_steps(isa, x, format, out, row);
    bool finite = true;
    for (int64_t g = 0; g < n_groups; ++g) {
        const int64_t at = row * n_groups + g;
        const float step = out.scales[at];
        GroupCodes group = unusable_group();
        if (std::isfinite(step)) {
            group = format.symmetric
                        ? symmetric_group(step_in_units(step, unit), format.bits)
                        : real_group(real_affine_in_units(out.bases[at], step, unit, format.bits),
                                     format.bits);
        }
        finite &= write_group(isa, x + g * size, group, out, row, g);
    }
    return finite;
}

}  // namespace

bool quantize_activation_row(const IsaKernels& isa, const float* x, const QuantizedRows& out,
                             int64_t row) {
    const ActivationFormat format = out.format_of(row);
    const bool finite = format.scales == ActivationScales::TwoLevel
                            ? quantize_two_level(isa, x, format, out, row)
                            : quantize_groups(isa, x, format, out, row);
    std::memset(out.row_codes(row) + out.cols, 0, static_cast<size_t>(out.stride - out.cols));
    return finite;
}

bool quantize_kv_vector(const IsaKernels& isa, const float* x, int64_t n, const KvFormat& format,
                        uint8_t* codes, Affine& affine) {
    RowRange range = isa.range_of(x, n);
    if (format.range_includes_zero) range = with_zero(range);
    if (range.finite) {
        affine = asymmetric_affine(range.lo * format.clip, range.hi * format.clip, format.bits,
                                   format.scales);
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
