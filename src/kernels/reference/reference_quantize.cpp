#include "kernels/reference/reference_quantize.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>
#include <span>

#include "core/check.h"
#include "tensor/affine.h"

namespace quarot::kernels {

namespace {

struct Range {
    float lo, hi;
};

// Empty if a value is not finite.
std::optional<Range> clipped_range(std::span<const float> values, const ActivationFormat& format) {
    if (!std::all_of(values.begin(), values.end(), [](float x) { return std::isfinite(x); })) {
        return std::nullopt;
    }
    const auto [min, max] = std::minmax_element(values.begin(), values.end());
    float lo = *min, hi = *max;
    if (format.range_includes_zero()) {
        lo = std::min(lo, 0.0f);
        hi = std::max(hi, 0.0f);
    }
    return Range{lo * format.clip, hi * format.clip};
}

// How one group is quantized: which of the two holds follows from the format.
struct GroupAffine {
    Affine integer;
    RealAffine real;
    float scale;
};

float largest_of(const Range& range) {
    return std::max(std::fabs(range.lo), std::fabs(range.hi));
}

// What codes count before it becomes a scale, 0 if all values are; empty as for affine_of.
std::optional<float> step_of(std::span<const float> values, const ActivationFormat& format) {
    const auto range = clipped_range(values, format);
    if (!range) return std::nullopt;
    const float step =
        format.symmetric
            ? largest_of(*range) / static_cast<float>(symmetric_max(format.bits))
            : (range->hi - range->lo) / static_cast<float>(asymmetric_max(format.bits));
    if (!std::isfinite(step)) return std::nullopt;
    return step;
}

// Of the groups that are finite.
float unit_of_row(std::span<const float> row, const ActivationFormat& format) {
    const auto size =
        static_cast<size_t>(format.group_size == 0 ? std::ssize(row) : format.group_size);
    float largest = 0.0f;
    for (size_t at = 0; at < row.size(); at += size) {
        largest = std::max(largest, step_of(row.subspan(at, size), format).value_or(0.0f));
    }
    return unit_of_steps(largest);
}

std::optional<GroupAffine> affine_in_units(std::span<const float> values,
                                           const ActivationFormat& format, float unit) {
    const auto step = step_of(values, format);
    if (!step) return std::nullopt;
    GroupAffine affine{};
    affine.scale = step_in_units(*step, unit);
    if (format.has_bases()) {
        affine.real =
            real_affine_in_units(clipped_range(values, format)->lo, *step, unit, format.bits);
    }
    return affine;
}

// Empty if a value is not finite or the range does not fit fp32.
std::optional<GroupAffine> affine_of(std::span<const float> values,
                                     const ActivationFormat& format) {
    const auto range = clipped_range(values, format);
    if (!range) return std::nullopt;
    GroupAffine affine{};
    if (format.has_bases()) {
        affine.real = real_affine(range->lo, range->hi, format.bits);
        affine.scale = affine.real.scale;
    } else {
        affine.integer = format.symmetric ? symmetric_affine(largest_of(*range), format.bits)
                                          : asymmetric_affine(range->lo, range->hi, format.bits);
        affine.scale = affine.integer.scale;
    }
    if (!std::isfinite(affine.scale)) return std::nullopt;
    return affine;
}

int32_t code_of(float x, const GroupAffine& affine, const ActivationFormat& format) {
    if (format.symmetric) return quantize_symmetric(x, affine.scale, format.bits);
    const int half = 1 << (format.bits - 1);
    return (format.has_bases() ? quantize_real(x, affine.real, format.bits)
                               : quantize_asymmetric(x, affine.integer, format.bits)) -
           half;
}

// The sum of the codes.
int32_t write_codes(std::span<const float> values, const GroupAffine& affine,
                    const ActivationFormat& format, int8_t* codes) {
    int32_t sum = 0;
    for (size_t i = 0; i < values.size(); ++i) {
        const int32_t code = code_of(values[i], affine, format);
        codes[i] = static_cast<int8_t>(code);
        sum += code;
    }
    return sum;
}

bool quantize_row(const float* in, const QuantizedRows& out, int64_t row) {
    const ActivationFormat format = out.format_of(row);
    const int64_t n_groups = out.n_groups(), size = out.cols / n_groups;
    int8_t* codes = out.row_codes(row);
    const bool two_level = format.scales == ActivationScales::TwoLevel;
    const float unit = two_level ? unit_of_row({in, static_cast<size_t>(out.cols)}, format) : 0.0f;
    bool finite = true;
    for (int64_t g = 0; g < n_groups; ++g) {
        const std::span values(in + g * size, static_cast<size_t>(size));
        const auto affine =
            two_level ? affine_in_units(values, format, unit) : affine_of(values, format);
        const int64_t at = row * n_groups + g;
        if (affine) {
            out.row_sums[at] = write_codes(values, *affine, format, codes + g * size);
        } else {
            std::memset(codes + g * size, 0, static_cast<size_t>(size));
            out.row_sums[at] = 0;
            finite = false;
        }
        out.scales[at] = affine ? affine->scale : 1.0f;
        if (format.has_offsets()) {
            out.offsets[at] = affine ? affine->integer.zero - (1 << (format.bits - 1)) : 0;
        }
        if (format.has_bases()) out.bases[at] = affine ? affine->real.base(format.bits) : 0.0f;
    }
    std::memset(codes + out.cols, 0, static_cast<size_t>(out.stride - out.cols));
    return finite;
}

}  // namespace

void reference_quantize(ThreadPool& pool, const Rows& in, const QuantizedRows& out, SiteNote note) {
    const ActivationFormat& format = out.format;
    QUAROT_CHECK(in.dtype == DType::F32 && in.rows == out.rows && in.cols == out.cols);
    QUAROT_CHECK(format.bits >= 2 && format.bits <= 8, "{} bits", format.bits);
    QUAROT_CHECK(format.has_offsets() == (out.offsets != nullptr) &&
                 format.has_bases() == (out.bases != nullptr));
    QUAROT_CHECK(format.scales == ActivationScales::Group || !format.has_offsets());
    QUAROT_CHECK(format.group_size == 0 || out.cols % format.group_size == 0);
    pool.parallel_for(in.rows, [&](int64_t row, int) {
        if (!quantize_row(in.f32(row), out, row)) note_row(note, row);
    });
}

}  // namespace quarot::kernels
