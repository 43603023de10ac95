#include "kernels/quantized_rows_layout.h"

#include "core/checked_math.h"

namespace quarot::kernels {

namespace {

// Offsets in bytes; bases take the place of offsets.
struct Layout {
    int64_t stride, scales_at, sums_at, offsets_at, bytes;
};

Layout layout_of(int64_t rows, int64_t cols, const ActivationFormat& format, int64_t alignment) {
    const int64_t n_groups = format.group_size == 0 ? 1 : cols / format.group_size;
    const int64_t per_group_bytes = round_up(rows * n_groups * 4, alignment);
    Layout layout{};
    layout.stride = round_up(cols, alignment);
    layout.scales_at = rows * layout.stride;
    layout.sums_at = layout.scales_at + per_group_bytes;
    layout.offsets_at = layout.sums_at + per_group_bytes;
    layout.bytes = layout.offsets_at + (format.symmetric ? 0 : per_group_bytes);
    return layout;
}

}  // namespace

int64_t quantized_rows_bytes(int64_t rows, int64_t cols, const ActivationFormat& format,
                             int64_t alignment) {
    return layout_of(rows, cols, format, alignment).bytes;
}

QuantizedRows place_quantized_rows(void* memory, int64_t rows, int64_t cols,
                                   const ActivationFormat& format, int64_t alignment) {
    const Layout layout = layout_of(rows, cols, format, alignment);
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

}  // namespace quarot::kernels
