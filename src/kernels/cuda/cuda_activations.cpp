#include "kernels/cuda/cuda_activations.h"

#include "core/check.h"
#include "core/checked_math.h"
#include "kernels/quantized_rows_layout.h"

namespace quarot::kernels::cuda {

bool writes_multiples(const ActivationFormat& format) {
    const int64_t group = format.group_size;
    return format.scales == ActivationScales::TwoLevel &&
           (group == 32 || group == 64 || group == 128);
}

namespace {

// Of a row, all planes.
int64_t multiples_stride(const QuantizedRows& rows) {
    return multiple_planes(rows.format.widest_bits()) * rows.stride;
}

}  // namespace

int64_t quantized_bytes(int64_t rows, int64_t cols, const ActivationFormat& format) {
    const int64_t bytes = quantized_rows_bytes(rows, cols, format, kActivationAlignment);
    if (!writes_multiples(format)) return bytes;
    const int64_t of_row = multiple_planes(format.widest_bits()) * activation_stride(cols);
    return bytes + rows * of_row +
           round_up(rows * static_cast<int64_t>(sizeof(RowUnit)), kActivationAlignment);
}

QuantizedRows place_quantized(void* memory, int64_t rows, int64_t cols,
                              const ActivationFormat& format) {
    QuantizedRows out = place_quantized_rows(memory, rows, cols, format, kActivationAlignment);
    if (!writes_multiples(format)) return out;
    auto* multiples = static_cast<std::byte*>(memory) +
                      quantized_rows_bytes(rows, cols, format, kActivationAlignment);
    out.multiples = multiples;
    out.row_units = multiples + rows * multiples_stride(out);
    return out;
}

RowsView view_of(const Rows& rows) {
    return {rows.data, rows.dtype, rows.rows, rows.cols, rows.stride};
}

ActivationView view_of(const QuantizedRows& rows) {
    return {.codes = static_cast<uint8_t*>(rows.codes),
            .scales = rows.scales,
            .offsets = rows.offsets,
            .bases = rows.bases,
            .row_sums = rows.row_sums,
            .multiples = static_cast<uint8_t*>(rows.multiples),
            .row_units = static_cast<RowUnit*>(rows.row_units),
            .rows = rows.rows,
            .cols = rows.cols,
            .stride = rows.stride,
            .bits = rows.format.widest_bits(),
            .group_size = rows.format.group_size};
}

QuantizeTarget target_of(const QuantizedRows& out, const SiteNote& note) {
    QUAROT_CHECK(out.token_of == nullptr);
    return {.codes = view_of(out),
            .clip = out.format.clip,
            .site = note.site,
            .bad_site = note.lowest,
            .bits = out.format.bits,
            .two_level = out.format.scales == ActivationScales::TwoLevel,
            .first_positions = out.format.first_positions,
            .positions = out.format.first_positions > 0 ? out.positions : nullptr};
}

QuantizedRows rows_of(const QuantizedRows& rows, int64_t first, int64_t count) {
    QUAROT_CHECK(!is_streamed(rows.rows) && !is_streamed(count), "{} of {}", count, rows.rows);
    QUAROT_CHECK(rows.token_of == nullptr);
    const int64_t group = first * rows.n_groups();
    QuantizedRows part = rows;
    part.codes = static_cast<std::byte*>(rows.codes) + first * rows.stride;
    part.scales += group;
    part.row_sums += group;
    if (part.offsets != nullptr) part.offsets += group;
    if (part.bases != nullptr) part.bases += group;
    if (part.positions != nullptr) part.positions += first;
    if (part.multiples != nullptr) {
        part.multiples = static_cast<std::byte*>(rows.multiples) + first * multiples_stride(rows);
        part.row_units = static_cast<RowUnit*>(rows.row_units) + first;
    }
    part.rows = count;
    return part;
}

std::vector<int8_t> signed_codes(const QuantizedRows& rows, std::span<const uint8_t> stored) {
    QUAROT_CHECK(std::ssize(stored) == rows.rows * rows.stride);
    const int bias = code_bias(rows.format.widest_bits());
    std::vector<int8_t> codes;
    codes.reserve(static_cast<size_t>(rows.rows * rows.cols));
    for (int64_t r = 0; r < rows.rows; ++r) {
        for (int64_t c = 0; c < rows.cols; ++c) {
            const auto at = static_cast<size_t>(code_offset(rows.rows, rows.stride, r, c));
            codes.push_back(static_cast<int8_t>(stored[at] - bias));
        }
    }
    return codes;
}

bool padding_is_zero(const QuantizedRows& rows, std::span<const uint8_t> stored) {
    std::vector<bool> is_code(stored.size());
    for (int64_t r = 0; r < rows.rows; ++r) {
        for (int64_t c = 0; c < rows.cols; ++c) {
            is_code[static_cast<size_t>(code_offset(rows.rows, rows.stride, r, c))] = true;
        }
    }
    for (size_t i = 0; i < stored.size(); ++i) {
        if (!is_code[i] && stored[i] != 0) return false;
    }
    return true;
}

}  // namespace quarot::kernels::cuda
