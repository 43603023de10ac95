// The solve of GPTQ for a few rows: round a column, spread its error over the columns after it.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "quantize/rounding/gptq_factor.h"
#include "quantize/rounding/gptq_schedule.h"
#include "quantize/rounding/grid.h"
#include "quantize/rounding/quantizer.h"

namespace quarot::quantize {

// What the rows of all weights of a site share.
struct GptqProblem {
    std::string site;
    int64_t n_cols = 0;
    int64_t n_codes = 0;
    WeightFormat format;
    GptqFactor factor;
    std::vector<double> importance;  // [n_codes] of columns, for their grids; may be empty

    // Of the columns that share a grid with `first`.
    std::span<const double> importance_of(int64_t first, int64_t width) const {
        if (importance.empty()) return {};
        return std::span(importance).subspan(first, width);
    }
};

// Error{Numeric} of a solve whose weights grow beyond what their type holds.
[[noreturn]] void fail_not_finite(const GptqProblem& problem);

// The rows of every product: BLAS gives other bits for other row counts, so a tile with fewer rows
// is filled up with zeros.
constexpr int64_t kGptqTileRows = 64;

class GptqTile {
  public:
    // At most kGptqTileRows rows, whose results become rows first_row .. of `piece`.
    GptqTile(const GptqProblem& problem, const WeightMatrix& rows, QuantizedPiece& piece,
             int64_t first_row);
    // Error{Numeric} naming the site if weights grow beyond what their type holds.
    void solve();

    // The steps of GptqSchedule.
    void begin_block(Columns block);
    void choose_group_grids(int64_t first_column);
    void correct(Columns later, Columns rounded);
    void round_segment(Columns segment);

  private:
    struct Grids {  // one for each row; rows that only fill up stay 0
        std::array<double, kGptqTileRows> scale, low, high;
    };

    void load(const WeightMatrix& rows);
    void choose_all_grids(const WeightMatrix& rows);
    void set_grid(int64_t row, int64_t group, const Grid& grid);

    void round_column(int64_t i);
    void correct_by_one(Columns later, int64_t i);

    void store_codes();
    void store_rest();

    double* weights(int64_t column) { return weights_.data() + column * kGptqTileRows; }
    double* errors(int64_t column) {
        return errors_.data() + (column - block_begin_) * kGptqTileRows;
    }

    const GptqProblem& problem_;
    QuantizedPiece& piece_;
    const int64_t first_row_;
    const int64_t n_rows_;
    const GptqSchedule schedule_;
    int64_t block_begin_ = 0;      // of the block being solved
    std::vector<double> weights_;  // [n_cols, kGptqTileRows] in solve order
    std::vector<double> errors_;   // [block, kGptqTileRows], divided by the diagonal of U
    std::vector<Grids> grids_;     // [n_groups]
    std::vector<uint8_t> codes_;   // [kGptqTileRows, n_codes] as stored, in column order
};

}  // namespace quarot::quantize
