// The solve of GPTQ for a few rows: round a column, spread its error over the columns after it.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "quantize/rounding/gptq_factor.h"
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
};

// The rows of every product: BLAS gives other bits for other row counts, so a tile with fewer rows
// is filled up with zeros.
constexpr int64_t kGptqTileRows = 64;

// Most of the work is products of some size, because columns are corrected as late as can be:
//
//   block (128 columns): corrects all that stands behind it when it is done
//     part (a group, or the block): corrected by the parts before it when it is reached
//       segment (32 columns): corrected by the segments before it when it is reached
//         column: corrects the others of its segment at once
//
// So the weights of a group that is reached are still those of the start of its block.
class GptqTile {
  public:
    // At most kGptqTileRows rows, whose results become rows first_row .. of `piece`.
    GptqTile(const GptqProblem& problem, const WeightMatrix& rows, QuantizedPiece& piece,
             int64_t first_row);
    // Error{Numeric} naming the site if weights grow beyond what their type holds.
    void solve();

  private:
    struct Grids {  // one for each row; rows that only fill up stay 0
        std::array<double, kGptqTileRows> scale, low, high;
    };

    void load(const WeightMatrix& rows);
    void choose_all_grids(const WeightMatrix& rows);
    void choose_group_grids(int64_t first_column);
    void set_grid(int64_t row, int64_t group, const Grid& grid);

    struct Columns {  // by solve position
        int64_t begin = 0;
        int64_t end = 0;
    };
    void solve_block(Columns block);
    void solve_part(Columns part);
    void round_column(int64_t i);
    void correct_by_one(Columns later, int64_t i);
    void correct(Columns later, Columns rounded);

    void store_codes();
    void store_rest();
    [[noreturn]] void fail_not_finite() const;

    double* weights(int64_t column) { return weights_.data() + column * kGptqTileRows; }
    double* errors(int64_t column) {
        return errors_.data() + (column - block_begin_) * kGptqTileRows;
    }

    const GptqProblem& problem_;
    QuantizedPiece& piece_;
    const int64_t first_row_;
    const int64_t n_rows_;
    const int64_t group_width_;
    const bool grids_follow_;      // are chosen during the solve
    int64_t block_begin_ = 0;      // of the block being solved
    std::vector<double> weights_;  // [n_cols, kGptqTileRows] in solve order
    std::vector<double> errors_;   // [block, kGptqTileRows], divided by the diagonal of U
    std::vector<Grids> grids_;     // [n_groups]
    std::vector<uint8_t> codes_;   // [kGptqTileRows, n_codes] as stored, in column order
};

}  // namespace quarot::quantize
