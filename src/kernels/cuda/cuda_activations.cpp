#include "kernels/cuda/cuda_activations.h"

#include "core/check.h"
#include "core/checked_math.h"

namespace quarot::kernels::cuda {

namespace {

// Offsets in bytes; bases take the place of offsets.
struct Layout {
    int64_t stride, scales_at, sums_at, offsets_at, bytes;
};

Layout layout_of(int64_t rows, int64_t cols, const ActivationFormat& format) {
    const int64_t n_groups = format.group_size == 0 ? 1 : cols / format.group_size;
    const int64_t per_group = round_up(rows * n_groups * 4, kActivationAlignment);
    Layout layout{};
    layout.stride = activation_stride(cols);
    layout.scales_at = rows * layout.stride;
    layout.sums_at = layout.scales_at + per_group;
    layout.offsets_at = layout.sums_at + per_group;
    layout.bytes = layout.offsets_at + (format.symmetric ? 0 : per_group);
    return layout;
}

}  // namespace

RowsView view_of(const Rows& rows) {
    return {rows.data, rows.dtype, rows.rows, rows.cols, rows.stride};
}

ActivationView view_of(const QuantizedRows& rows) {
    return {.codes = static_cast<uint8_t*>(rows.codes),
            .scales = rows.scales,
            .offsets = rows.offsets,
            .bases = rows.bases,
            .row_sums = rows.row_sums,
            .rows = rows.rows,
            .cols = rows.cols,
            .stride = rows.stride,
            .bits = rows.format.bits,
            .group_size = rows.format.group_size};
}

int64_t activation_bytes(int64_t rows, int64_t cols, const ActivationFormat& format) {
    return layout_of(rows, cols, format).bytes;
}

QuantizedRows place_activations(void* memory, int64_t rows, int64_t cols,
                                const ActivationFormat& format) {
    const Layout layout = layout_of(rows, cols, format);
    auto* bytes = static_cast<std::byte*>(memory);
    QuantizedRows out;
    out.codes = memory;
    out.scales = reinterpret_cast<float*>(bytes + layout.scales_at);
    out.row_sums = reinterpret_cast<int32_t*>(bytes + layout.sums_at);
    if (format.has_offsets()) out.offsets = reinterpret_cast<int32_t*>(bytes + layout.offsets_at);
    if (format.has_bases()) out.bases = reinterpret_cast<float*>(bytes + layout.offsets_at);
    out.rows = rows;
    out.cols = cols;
    out.stride = layout.stride;
    out.format = format;
    return out;
}

std::vector<int8_t> signed_codes(const QuantizedRows& rows, std::span<const uint8_t> stored) {
    QUAROT_CHECK(std::ssize(stored) == rows.rows * rows.stride);
    const int bias = code_bias(rows.format.bits);
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
