#include "quantize/rounding/gptq.h"

#include <algorithm>
#include <utility>

#include "core/check.h"
#include "core/log.h"
#include "quantize/rounding/gptq_factor.h"
#include "quantize/rounding/gptq_on_device.h"
#include "quantize/rounding/gptq_tile.h"
#include "quantize/rounding/rtn.h"

namespace quarot::quantize {
namespace {

class GptqQuantizer final : public PreparedQuantizer {
  public:
    explicit GptqQuantizer(GptqProblem problem) : problem_(std::move(problem)) {}

    QuantizedPiece quantize(const WeightMatrix& rows) const override {
        QUAROT_CHECK(rows.cols == problem_.n_cols, "{}", rows.cols);
        const WeightFormat& format = problem_.format;
        QuantizedPiece piece{make_quantized_matrix(rows.rows, problem_.n_codes, format.bits,
                                                   format.group_size, format.symmetric),
                             std::vector<float>(rows.rows * (rows.cols - problem_.n_codes))};
        for (int64_t first = 0; first < rows.rows; first += kGptqTileRows) {
            const int64_t count = std::min(kGptqTileRows, rows.rows - first);
            const auto values = rows.values.subspan(first * rows.cols, count * rows.cols);
            GptqTile(problem_, {values, count, rows.cols}, piece, first).solve();
        }
        return piece;
    }

  private:
    GptqProblem problem_;
};

}  // namespace

std::unique_ptr<PreparedQuantizer> prepare_gptq(const WeightInputs& inputs,
                                                const WeightFormat& format, ThreadPool& pool) {
    std::unique_ptr<kernels::ColumnSolver> solver;
    if (inputs.device_hessian) {
        solver = column_solver_maker(*inputs.device_hessian->backend)->make_column_solver();
    }
    auto factor = factor_hessian(inputs, format.damp, format.act_order, pool, solver.get());
    if (!factor) {
        log_warning(
            "{}: the Hessian is singular whatever its damping, weights are rounded to "
            "nearest",
            inputs.site);
        return prepare_rtn(inputs, format, pool);
    }
    GptqProblem problem{
        .site = inputs.site,
        .n_cols = inputs.n_cols,
        .n_codes = inputs.n_codes,
        .format = format,
        .factor = std::move(*factor),
        .importance = importance_of(inputs, format),
    };
    if (solver != nullptr) return solve_with(std::move(solver), std::move(problem), pool);
    return std::make_unique<GptqQuantizer>(std::move(problem));
}

}  // namespace quarot::quantize
