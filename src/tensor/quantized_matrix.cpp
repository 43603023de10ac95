#include "tensor/quantized_matrix.h"

#include "tensor/float_convert.h"

namespace quarot {

QuantizedMatrix make_quantized_matrix(int64_t rows, int64_t cols, int bits, int64_t group_size,
                                      bool symmetric) {
    QUAROT_CHECK(bits >= 2 && bits <= 8, "{}", bits);
    QUAROT_CHECK(group_size >= 0 && (group_size == 0 || cols % group_size == 0), "{}", group_size);
    QuantizedMatrix m;
    m.rows = rows;
    m.cols = cols;
    m.bits = bits;
    m.group_size = group_size;
    m.symmetric = symmetric;
    m.packed = Tensor(DType::I32, {rows, packed_words(cols, bits)});
    m.scales = Tensor(group_size == 0 ? DType::F32 : DType::F16, {rows, m.n_groups()});
    if (!symmetric) m.zero_points = Tensor(DType::U8, {rows, m.n_groups()});
    return m;
}

float QuantizedMatrix::scale(int64_t row, int64_t group) const {
    const int64_t i = row * n_groups() + group;
    return scales.dtype() == DType::F32 ? scales.as<float>()[i]
                                        : f16_to_f32(scales.as<uint16_t>()[i]);
}

int QuantizedMatrix::zero(int64_t row, int64_t group) const {
    return symmetric ? 0 : zero_points.as<uint8_t>()[row * n_groups() + group];
}

void QuantizedMatrix::unpack_row(int64_t row, std::span<uint8_t> out) const {
    const int64_t words = packed_words(cols, bits);
    unpack_bits({packed.as<uint32_t>() + row * words, static_cast<size_t>(words)}, bits, out);
}

void QuantizedMatrix::pack_row(int64_t row, std::span<const uint8_t> values) {
    const int64_t words = packed_words(cols, bits);
    pack_bits(values, bits, {packed.as<uint32_t>() + row * words, static_cast<size_t>(words)});
}

void QuantizedMatrix::dequantize_row(int64_t row, std::span<float> out) const {
    std::vector<uint8_t> values(static_cast<size_t>(cols));
    unpack_row(row, values);
    const int64_t group = group_size == 0 ? cols : group_size;
    for (int64_t c = 0; c < cols; ++c) {
        const int64_t g = c / group;
        const int code = static_cast<int>(values[static_cast<size_t>(c)]) + q_min();
        out[static_cast<size_t>(c)] = scale(row, g) * static_cast<float>(code - zero(row, g));
    }
}

}  // namespace quarot
