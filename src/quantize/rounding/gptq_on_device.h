// GPTQ by a backend's ColumnSolver: grids are chosen here, columns are rounded there.
#pragma once

#include <memory>

#include "core/thread_pool.h"
#include "kernels/column_solver.h"
#include "quantize/rounding/gptq_tile.h"
#include "quantize/rounding/quantizer.h"

namespace quarot::quantize {

// solver: holds the factor of the problem. Takes all rows of a weight at once. Errors as GptqTile's
// and the solver's.
std::unique_ptr<PreparedQuantizer> solve_with(std::unique_ptr<kernels::ColumnSolver> solver,
                                              GptqProblem problem, ThreadPool& pool);

}  // namespace quarot::quantize
