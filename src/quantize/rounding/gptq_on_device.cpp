#include "quantize/rounding/gptq_on_device.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <span>
#include <utility>
#include <vector>

#include "core/check.h"
#include "core/checked_math.h"
#include "core/process.h"
#include "quantize/rounding/clip_search.h"
#include "quantize/rounding/gptq_schedule.h"
#include "quantize/rounding/stored_grids.h"

namespace quarot::quantize {
namespace {

constexpr int64_t kRowsOfATask = 16;

// The solve of one weight.
class DeviceSolve {
  public:
    DeviceSolve(const GptqProblem& problem, const WeightMatrix& rows, kernels::ColumnSolver& solver,
                ThreadPool& pool)
        : problem_(problem),
          solver_(solver),
          pool_(pool),
          schedule_(problem.n_cols, problem.n_codes, problem.format),
          n_rows_(rows.rows),
          piece_{make_quantized_matrix(rows.rows, problem.n_codes, problem.format.bits,
                                       problem.format.group_size, problem.format.symmetric),
                 {}} {
        load(rows);
        if (schedule_.grids_follow) return;
        for (int64_t group = 0; group < piece_.codes.n_groups(); ++group) {
            choose_grids(group, rows.values, rows.cols, group * schedule_.group_width);
        }
    }

    QuantizedPiece solve() {
        schedule_.run(*this);
        store_codes();
        piece_.rest = finite(solver_.read({problem_.n_codes, problem_.n_cols}));
        return std::move(piece_);
    }

    // The steps of GptqSchedule.
    void begin_block(Columns) { throw_if_interrupted(); }
    void choose_group_grids(int64_t first_column) {
        const int64_t width = schedule_.group_width;
        const std::vector<float> values =
            finite(solver_.read({first_column, first_column + width}));
        choose_grids(first_column / width, values, width, 0);
    }
    void correct(Columns later, Columns rounded) { solver_.correct(later, rounded); }
    void round_segment(Columns segment) { solver_.round(segment); }

  private:
    void load(const WeightMatrix& rows) {
        const std::vector<int32_t> order(problem_.factor.order.begin(),
                                         problem_.factor.order.end());
        const std::vector<uint8_t> dead(problem_.factor.dead.begin(), problem_.factor.dead.end());
        solver_.load({.rows = rows.values,
                      .n_rows = rows.rows,
                      .order = order,
                      .dead = dead,
                      .n_codes = problem_.n_codes,
                      .group_width = schedule_.group_width,
                      .bits = problem_.format.bits});
    }

    // From the columns first .. of rows whose beginnings are `stride` values apart.
    void choose_grids(int64_t group, std::span<const float> values, int64_t stride, int64_t first) {
        const GridFormat wanted = grid_format(piece_.codes, problem_.format);
        const auto width = static_cast<size_t>(schedule_.group_width);
        const auto importance =
            problem_.importance_of(group * schedule_.group_width, schedule_.group_width);
        std::vector<kernels::RowGrid> grids(static_cast<size_t>(n_rows_));
        for_rows([&](int64_t row) {
            const auto at = static_cast<size_t>(row * stride + first);
            const Grid grid = choose_grid(values.subspan(at, width), wanted, importance);
            store_grid(piece_.codes, row, group, grid);
            grids[static_cast<size_t>(row)] = {grid.scale, grid.low};
        });
        solver_.set_grids(group, grids);
    }

    void store_codes() {
        const std::vector<uint8_t> codes = solver_.codes();
        if (codes.empty()) fail_not_finite(problem_);
        const auto n = static_cast<size_t>(problem_.n_codes);
        for_rows([&](int64_t row) {
            piece_.codes.pack_row(row, std::span(codes).subspan(static_cast<size_t>(row) * n, n));
        });
    }

    std::vector<float> finite(std::vector<float> values) {
        std::atomic<bool> all = true;
        const auto width = std::ssize(values) / n_rows_;
        for_rows([&](int64_t row) {
            const auto part = std::span(values).subspan(static_cast<size_t>(row * width),
                                                        static_cast<size_t>(width));
            if (!std::ranges::all_of(part, [](float w) { return std::isfinite(w); })) all = false;
        });
        if (!all) fail_not_finite(problem_);
        return values;
    }

    template <typename Body>
    void for_rows(const Body& body) {
        pool_.parallel_for(ceil_div(n_rows_, kRowsOfATask), [&](int64_t task, int) {
            const int64_t end = std::min((task + 1) * kRowsOfATask, n_rows_);
            for (int64_t row = task * kRowsOfATask; row < end; ++row) body(row);
        });
    }

    const GptqProblem& problem_;
    kernels::ColumnSolver& solver_;
    ThreadPool& pool_;
    const GptqSchedule schedule_;
    const int64_t n_rows_;
    QuantizedPiece piece_;
};

class DeviceGptq final : public PreparedQuantizer {
  public:
    DeviceGptq(std::unique_ptr<kernels::ColumnSolver> solver, GptqProblem problem, ThreadPool& pool)
        : solver_(std::move(solver)), problem_(std::move(problem)), pool_(pool) {}

    bool takes_all_rows() const override { return true; }
    QuantizedPiece quantize(const WeightMatrix& rows) const override {
        QUAROT_CHECK(rows.cols == problem_.n_cols, "{}", rows.cols);
        return DeviceSolve(problem_, rows, *solver_, pool_).solve();
    }

  private:
    std::unique_ptr<kernels::ColumnSolver> solver_;
    GptqProblem problem_;
    ThreadPool& pool_;
};

}  // namespace

std::unique_ptr<PreparedQuantizer> solve_with(std::unique_ptr<kernels::ColumnSolver> solver,
                                              GptqProblem problem, ThreadPool& pool) {
    return std::make_unique<DeviceGptq>(std::move(solver), std::move(problem), pool);
}

}  // namespace quarot::quantize
