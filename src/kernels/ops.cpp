#include "kernels/ops.h"

#include <cstring>

#include "core/checked_math.h"

namespace quarot::kernels {

namespace {

constexpr int64_t kAlignment = 64;

struct QuantizedLayout {
    int64_t stride, scales_at, offsets_at, sums_at, bytes;  // bases stand where offsets would
};

QuantizedLayout layout_of(int64_t rows, int64_t cols, const ActivationFormat& format) {
    const int64_t n_groups = format.group_size == 0 ? 1 : cols / format.group_size;
    const int64_t per_group_bytes = round_up(rows * n_groups * 4, kAlignment);
    QuantizedLayout layout{};
    layout.stride = round_up(cols, kAlignment);
    layout.scales_at = rows * layout.stride;
    layout.sums_at = layout.scales_at + per_group_bytes;
    layout.offsets_at = layout.sums_at + per_group_bytes;
    layout.bytes = layout.offsets_at + (format.symmetric ? 0 : per_group_bytes);
    return layout;
}

// Bits of one K or V vector in the cache.
int64_t kv_vector_bits(const KvFormat& format, int64_t head_dim) {
    if (format.bits == 16) return head_dim * 32;
    const int64_t n_groups = format.group_size == 0 ? 1 : head_dim / format.group_size;
    return head_dim * format.bits + n_groups * (32 + 16);
}

}  // namespace

int64_t kv_bytes_per_token(const KvDescriptor& d) {
    const int64_t bits = kv_vector_bits(d.k, d.head_dim) + kv_vector_bits(d.v, d.head_dim);
    return ceil_div(d.n_layers * d.n_kv_heads * bits, 8);
}

int64_t Backend::quantized_bytes(int64_t rows, int64_t cols, const ActivationFormat& format) const {
    return layout_of(rows, cols, format).bytes;
}

QuantizedRows Backend::place_quantized(void* memory, int64_t rows, int64_t cols,
                                       const ActivationFormat& format) const {
    const QuantizedLayout layout = layout_of(rows, cols, format);
    auto* bytes = static_cast<std::byte*>(memory);
    QuantizedRows out;
    out.codes = static_cast<int8_t*>(memory);
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

std::vector<int8_t> Backend::read_codes(const QuantizedRows& rows) {
    synchronize();
    std::vector<int8_t> codes(static_cast<size_t>(rows.rows * rows.cols));
    for (int64_t r = 0; r < rows.rows; ++r) {
        download(codes.data() + r * rows.cols, rows.codes + r * rows.stride, rows.cols);
    }
    return codes;
}

namespace {

template <typename T>
std::vector<T> downloaded(Backend& backend, const T* from, int64_t n) {
    std::vector<T> values(static_cast<size_t>(from == nullptr ? 0 : n));
    if (from != nullptr) backend.download(values.data(), from, n * static_cast<int64_t>(sizeof(T)));
    return values;
}

}  // namespace

void Backend::dequantize(const QuantizedRows& in, Rows out) {
    QUAROT_CHECK(out.dtype == DType::F32 && out.rows == in.rows && out.cols == in.cols);
    const int64_t n_groups = in.n_groups(), size = in.cols / n_groups;
    const auto codes = read_codes(in);
    const auto scales = downloaded(*this, in.scales, in.rows * n_groups);
    const auto offsets = downloaded(*this, in.offsets, in.rows * n_groups);
    const auto bases = downloaded(*this, in.bases, in.rows * n_groups);
    std::vector<float> row(static_cast<size_t>(in.cols));
    for (int64_t r = 0; r < in.rows; ++r) {
        for (int64_t c = 0; c < in.cols; ++c) {
            const auto at = static_cast<size_t>(r * n_groups + c / size);
            const int32_t offset = offsets.empty() ? 0 : offsets[at];
            const float base = bases.empty() ? 0.0f : bases[at];
            const int32_t code = codes[static_cast<size_t>(r * in.cols + c)];
            row[static_cast<size_t>(c)] = scales[at] * static_cast<float>(code - offset) + base;
        }
        upload(out.f32(r), row.data(), in.cols * size_of(DType::F32));
    }
}

void Backend::rms_norm_quantize(const RmsNormArgs& args, const Operand& out, Site site) {
    rms_norm(args);
    if (const auto* quantized = std::get_if<QuantizedRows>(&out.rows)) {
        quantize(args.out, *quantized, site);
    }
}

void Backend::transform_quantize(const Transform* transform_or_null, Rows scratch,
                                 const Operand& out, Site site) {
    if (transform_or_null != nullptr) transform(*transform_or_null, scratch);
    if (const auto* quantized = std::get_if<QuantizedRows>(&out.rows)) {
        quantize(scratch, *quantized, site);
    }
}

void Backend::rope_transform_append_kv(const RopeTransformAppendArgs& args) {
    rope(args.rope);
    if (args.transform != nullptr) {
        transform(*args.transform, args.rope.q);
        transform(*args.transform, args.rope.k);
    }
    append_kv(args.append);
}

void Backend::linear_group(const LinearGroupArgs& args) {
    for (size_t i = 0; i < args.weights.size(); ++i) {
        linear({.in = args.in, .weight = *args.weights[i], .out = args.outs[i]});
    }
}

void Backend::gated_linear(const GatedLinearArgs& args) {
    linear({.in = args.in, .weight = args.gate, .out = args.gate_out});
    linear({.in = args.in, .weight = args.up, .out = args.up_out});
    silu_mul({.gate = args.gate_out, .up = args.up_out, .out = args.gate_out});
}

void Backend::silu_mul_transform_quantize(const SiluMulArgs& args,
                                          const Transform* transform_or_null, const Operand& out,
                                          Site site) {
    silu_mul(args);
    transform_quantize(transform_or_null, args.out, out, site);
}

}  // namespace quarot::kernels
