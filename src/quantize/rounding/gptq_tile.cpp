#include "quantize/rounding/gptq_tile.h"

#include <algorithm>
#include <cmath>
#include <span>

#include "core/error.h"
#include "linalg/blas.h"
#include "quantize/rounding/clip_search.h"
#include "quantize/rounding/stored_grids.h"

namespace quarot::quantize {

void fail_not_finite(const GptqProblem& problem) {
    fail(ErrorCode::Numeric,
         "{}: GPTQ made a weight larger than its type holds; try more damping than {:g}",
         problem.site, problem.format.damp);
}

GptqTile::GptqTile(const GptqProblem& problem, const WeightMatrix& rows, QuantizedPiece& piece,
                   int64_t first_row)
    : problem_(problem),
      piece_(piece),
      first_row_(first_row),
      n_rows_(rows.rows),
      schedule_(problem.n_cols, problem.n_codes, problem.format),
      weights_(problem.n_cols * kGptqTileRows),
      errors_(schedule_.block_width() * kGptqTileRows),
      grids_(piece.codes.n_groups()),
      codes_(kGptqTileRows * problem.n_codes) {
    for (Grids& grids : grids_) {
        grids.scale.fill(1.0);
        grids.low.fill(0.0);
        grids.high.fill(0.0);
    }
    load(rows);
    if (!schedule_.grids_follow) choose_all_grids(rows);
}

void GptqTile::load(const WeightMatrix& rows) {
    for (int64_t i = 0; i < problem_.n_cols; ++i) {
        if (problem_.factor.dead[i]) continue;
        const float* column = rows.values.data() + problem_.factor.order[i];
        double* w = weights(i);
        for (int64_t r = 0; r < n_rows_; ++r) w[r] = column[r * problem_.n_cols];
    }
}

void GptqTile::choose_all_grids(const WeightMatrix& rows) {
    const GridFormat wanted = grid_format(piece_.codes, problem_.format);
    for (int64_t r = 0; r < n_rows_; ++r) {
        for (int64_t group = 0; group < std::ssize(grids_); ++group) {
            const int64_t width = schedule_.group_width, first = group * width;
            const auto w = rows.values.subspan(r * problem_.n_cols + first, width);
            set_grid(r, group, choose_grid(w, wanted, problem_.importance_of(first, width)));
        }
    }
}

// From the weights as they stand now.
void GptqTile::choose_group_grids(int64_t first_column) {
    const GridFormat wanted = grid_format(piece_.codes, problem_.format);
    std::vector<float> group(schedule_.group_width);
    const auto importance = problem_.importance_of(first_column, schedule_.group_width);
    for (int64_t r = 0; r < n_rows_; ++r) {
        for (int64_t i = 0; i < schedule_.group_width; ++i) {
            group[i] = static_cast<float>(weights(first_column + i)[r]);
            if (!std::isfinite(group[i])) fail_not_finite(problem_);
        }
        set_grid(r, first_column / schedule_.group_width, choose_grid(group, wanted, importance));
    }
}

void GptqTile::set_grid(int64_t row, int64_t group, const Grid& grid) {
    grids_[group].scale[row] = grid.scale;
    grids_[group].low[row] = grid.low;
    grids_[group].high[row] = grid.high;
    store_grid(piece_.codes, first_row_ + row, group, grid);
}

void GptqTile::solve() {
    schedule_.run(*this);
    store_codes();
    store_rest();
}

void GptqTile::begin_block(Columns block) {
    block_begin_ = block.begin;
}

void GptqTile::round_segment(Columns segment) {
    for (int64_t i = segment.begin; i < segment.end; ++i) {
        round_column(i);
        correct_by_one({i + 1, segment.end}, i);
    }
}

// Clamping first is the same as clamping the rounded value, the limits being integers; adding
// 1.5 * 2^52 rounds half to even. A NaN becomes a code in range and an error that is NaN.
void GptqTile::round_column(int64_t i) {
    constexpr double kRounder = 0x1.8p52;
    const int64_t column = problem_.factor.order[i];
    const Grids& grids = grids_[column / schedule_.group_width];
    const double u = problem_.factor.u[i * (problem_.n_cols + 1)];
    const double* w = weights(i);
    double* e = errors(i);
    std::array<double, kGptqTileRows> stored;
    bool finite = true;
    for (int64_t r = 0; r < kGptqTileRows; ++r) {
        double q = w[r] / grids.scale[r];
        q = q > grids.low[r] ? q : grids.low[r];
        q = q < grids.high[r] ? q : grids.high[r];
        q = (q + kRounder) - kRounder;
        stored[r] = q - grids.low[r];
        e[r] = (w[r] - grids.scale[r] * q) / u;
        finite = finite && std::isfinite(e[r]);
    }
    if (!finite) fail_not_finite(problem_);
    for (int64_t r = 0; r < n_rows_; ++r) {
        codes_[r * problem_.n_codes + column] = static_cast<uint8_t>(stored[r]);
    }
}

void GptqTile::correct_by_one(Columns later, int64_t i) {
    const double* u = problem_.factor.u.data() + i * problem_.n_cols;
    const double* e = errors(i);
    for (int64_t j = later.begin; j < later.end; ++j) {
        double* w = weights(j);
        for (int64_t r = 0; r < kGptqTileRows; ++r) w[r] -= e[r] * u[j];
    }
}

void GptqTile::correct(Columns later, Columns rounded) {
    if (later.begin == later.end || rounded.begin == rounded.end) return;
    linalg::subtract_product({
        .m = later.end - later.begin,
        .n = kGptqTileRows,
        .k = rounded.end - rounded.begin,
        .a = problem_.factor.u.data() + rounded.begin * problem_.n_cols + later.begin,
        .a_stride = problem_.n_cols,
        .b = errors(rounded.begin),
        .c = weights(later.begin),
    });
}

void GptqTile::store_codes() {
    const std::span<const uint8_t> codes = codes_;
    for (int64_t r = 0; r < n_rows_; ++r) {
        piece_.codes.pack_row(first_row_ + r,
                              codes.subspan(r * problem_.n_codes, problem_.n_codes));
    }
}

void GptqTile::store_rest() {
    const int64_t n_rest = problem_.n_cols - problem_.n_codes;
    for (int64_t r = 0; r < n_rows_; ++r) {
        for (int64_t i = 0; i < n_rest; ++i) {
            const auto value = static_cast<float>(weights(problem_.n_codes + i)[r]);
            if (!std::isfinite(value)) fail_not_finite(problem_);
            piece_.rest[(first_row_ + r) * n_rest + i] = value;
        }
    }
}

}  // namespace quarot::quantize
