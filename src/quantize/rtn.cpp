#include "quantize/rtn.h"

#include <utility>
#include <vector>

#include "quantize/clip_search.h"
#include "tensor/float_convert.h"

namespace quarot::quantize {
namespace {

void store_grid(QuantizedMatrix& matrix, int64_t index, const Grid& grid) {
    if (matrix.scales.dtype() == DType::F32) {
        matrix.scales.as<float>()[index] = grid.scale;
    } else {
        matrix.scales.as<uint16_t>()[index] = f32_to_f16(grid.scale);
    }
    if (!matrix.symmetric) {
        matrix.zero_points.as<uint8_t>()[index] = static_cast<uint8_t>(-grid.low);
    }
}

class RtnQuantizer final : public PreparedQuantizer {
  public:
    RtnQuantizer(int64_t n_codes, const model::WeightFormat& format)
        : n_codes_(n_codes), format_(format) {}

    QuantizedPiece quantize(const WeightMatrix& rows) const override {
        if (n_codes_ == rows.cols) return {quantize_rtn(rows, format_), {}};
        std::vector<float> coded, rest;
        for (int64_t row = 0; row < rows.rows; ++row) {
            const auto values = rows.values.subspan(row * rows.cols, rows.cols);
            const auto border = values.begin() + n_codes_;
            coded.insert(coded.end(), values.begin(), border);
            rest.insert(rest.end(), border, values.end());
        }
        return {quantize_rtn({coded, rows.rows, n_codes_}, format_), std::move(rest)};
    }

  private:
    int64_t n_codes_;
    model::WeightFormat format_;
};

}  // namespace

QuantizedMatrix quantize_rtn(const WeightMatrix& weight, const model::WeightFormat& format) {
    QuantizedMatrix matrix = make_quantized_matrix(weight.rows, weight.cols, format.bits,
                                                   format.group_size, format.symmetric);
    const GridFormat grid_format{.bits = format.bits,
                                 .symmetric = format.symmetric,
                                 .clip_search = format.clip_search,
                                 .scale = matrix.scales.dtype()};
    const int64_t n_groups = matrix.n_groups();
    const int64_t width = weight.cols / n_groups;
    std::vector<uint8_t> stored(weight.cols);
    for (int64_t row = 0; row < weight.rows; ++row) {
        for (int64_t group = 0; group < n_groups; ++group) {
            const auto w = weight.values.subspan(row * weight.cols + group * width, width);
            const Grid grid = choose_grid(w, grid_format);
            store_grid(matrix, row * n_groups + group, grid);
            for (int64_t i = 0; i < width; ++i) stored[group * width + i] = grid.stored(w[i]);
        }
        matrix.pack_row(row, stored);
    }
    return matrix;
}

std::unique_ptr<PreparedQuantizer> prepare_rtn(const WeightInputs& inputs,
                                               const model::WeightFormat& format, ThreadPool&) {
    return std::make_unique<RtnQuantizer>(inputs.n_codes, format);
}

}  // namespace quarot::quantize
