// The steps of GPTQ that a backend with memory of its own does there: factoring a Hessian, rounding
// columns, correcting others by their errors. The order of the steps is the caller's.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "kernels/hessian_sums.h"
#include "kernels/ops.h"

namespace quarot::kernels {

// [begin, end) by solve position.
struct Columns {
    int64_t begin = 0;
    int64_t end = 0;
};

// Of one group of columns in a row: w ~ scale * q with a whole number q in [low, low + 2^bits - 1].
struct RowGrid {
    float scale = 1.0f;
    float low = 0.0f;
};

// The weights that a solve begins with, all on the host.
struct SolverWeights {
    std::span<const float> rows;  // [n_rows, n] row-major
    int64_t n_rows = 0;
    std::span<const int32_t> order;  // [n]: the column at each solve position
    std::span<const uint8_t> dead;   // [n] by solve position: 1: the column begins as zeros
    int64_t n_codes = 0;             // the first positions are rounded
    int64_t group_width = 0;         // columns that share a grid, counted from column 0
    int bits = 4;
};

// What is factored: h with rows and columns in solve order, and another diagonal.
struct DampedHessian {
    HessianSums hessian;
    std::span<const int32_t> order;    // [n] on the host: the column at each solve position
    std::span<const double> diagonal;  // [n] on the host, by solve position
};

// One Hessian, then one weight after another. Everything is fp64, and a row's sums have one order,
// whatever rows stand beside it: the same input gives the same bits. Used by one thread.
// Error{OutOfMemory} and Error{Device} from every step.
class ColumnSolver {
  public:
    virtual ~ColumnSolver() = default;

    // Keeps the upper triangular U with U^T U the inverse of `damped`, and gives its diagonal [n];
    // nothing if that is not positive definite as far as fp64 can tell.
    virtual std::vector<double> factor(const DampedHessian& damped) = 0;

    virtual void load(const SolverWeights& weights) = 0;
    // grids: [n_rows], for the columns [group * group_width, (group + 1) * group_width).
    virtual void set_grids(int64_t group, std::span<const RowGrid> grids) = 0;
    // The columns as they are, rounded to fp32, [n_rows, width] row-major. Not of rounded ones,
    // whose place their errors have.
    virtual std::vector<float> read(Columns columns) = 0;
    // Rounds columns one after another: with e = (w - scale q) / U_ii of column i, those after it
    // in the range lose e U_ij.
    virtual void round(Columns columns) = 0;
    // The same for columns behind `rounded`, by all errors of that range.
    virtual void correct(Columns later, Columns rounded) = 0;
    // What was rounded, q - low, [n_rows, n_codes] in column order; nothing if an error was not
    // finite.
    virtual std::vector<uint8_t> codes() = 0;
};

// For a backend to be as well.
class ColumnSolverMaker {
  public:
    virtual ~ColumnSolverMaker() = default;
    virtual std::unique_ptr<ColumnSolver> make_column_solver() = 0;
    // h_ii [n]. Waits.
    virtual std::vector<double> diagonal(const HessianSums& hessian) = 0;
    // A copy of h rounded to fp32, to multiply by.
    virtual std::unique_ptr<Linear> prepare_hessian(const HessianSums& hessian) = 0;
};

// Null where the backend is none: its memory is the host's.
inline ColumnSolverMaker* column_solver_maker(Backend& backend) {
    return dynamic_cast<ColumnSolverMaker*>(&backend);
}

}  // namespace quarot::kernels
