#include "quantize/rounding/rtn.h"

#include <utility>
#include <vector>

#include "quantize/rounding/clip_search.h"
#include "quantize/rounding/stored_grids.h"

namespace quarot::quantize {
namespace {

class RtnQuantizer final : public PreparedQuantizer {
  public:
    RtnQuantizer(int64_t n_codes, const WeightFormat& format)
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
    WeightFormat format_;
};

}  // namespace

QuantizedMatrix quantize_rtn(const WeightMatrix& weight, const WeightFormat& format) {
    QuantizedMatrix matrix = make_quantized_matrix(weight.rows, weight.cols, format.bits,
                                                   format.group_size, format.symmetric);
    const GridFormat wanted = grid_format(matrix, format);
    const int64_t n_groups = matrix.n_groups();
    const int64_t width = weight.cols / n_groups;
    std::vector<uint8_t> stored(weight.cols);
    for (int64_t row = 0; row < weight.rows; ++row) {
        for (int64_t group = 0; group < n_groups; ++group) {
            const auto w = weight.values.subspan(row * weight.cols + group * width, width);
            const Grid grid = choose_grid(w, wanted);
            store_grid(matrix, row, group, grid);
            for (int64_t i = 0; i < width; ++i) stored[group * width + i] = grid.stored(w[i]);
        }
        matrix.pack_row(row, stored);
    }
    return matrix;
}

std::unique_ptr<PreparedQuantizer> prepare_rtn(const WeightInputs& inputs,
                                               const WeightFormat& format, ThreadPool&) {
    return std::make_unique<RtnQuantizer>(inputs.n_codes, format);
}

}  // namespace quarot::quantize
