#include "quantize/rounding/stored_grids.h"

#include "tensor/float_convert.h"

namespace quarot::quantize {

GridFormat grid_format(const QuantizedMatrix& matrix, const WeightFormat& format) {
    return {.bits = format.bits,
            .symmetric = format.symmetric,
            .clip_search = format.clip_search,
            .scale = matrix.scales.dtype()};
}

void store_grid(QuantizedMatrix& matrix, int64_t row, int64_t group, const Grid& grid) {
    const int64_t index = row * matrix.n_groups() + group;
    if (matrix.scales.dtype() == DType::F32) {
        matrix.scales.as<float>()[index] = grid.scale;
    } else {
        matrix.scales.as<uint16_t>()[index] = f32_to_f16(grid.scale);
    }
    if (!matrix.symmetric) {
        matrix.zero_points.as<uint8_t>()[index] = static_cast<uint8_t>(-grid.low);
    }
}

}  // namespace quarot::quantize
