// GPTQ's steps in the memory of a GPU.
#pragma once

#include <memory>

#include "kernels/column_solver.h"
#include "kernels/cuda/stream.h"

namespace quarot::kernels::cuda {

// Allocates and copies through `backend`, whose stream is `stream`, on GPU `ordinal`; the backend
// must outlive it.
std::unique_ptr<ColumnSolver> make_column_solver(Backend& backend, int ordinal, Stream stream);

}  // namespace quarot::kernels::cuda
