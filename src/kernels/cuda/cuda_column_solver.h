// GPTQ's steps in the memory of a GPU.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/column_solver.h"
#include "kernels/cuda/stream.h"

namespace quarot::kernels::cuda {

// Of a [n, n] matrix in device memory. Waits.
std::vector<double> download_diagonal(const double* matrix, int64_t n, Stream stream);

// Allocates and copies through `backend`, whose stream is `stream`, on GPU `ordinal`; the backend
// must outlive it.
std::unique_ptr<ColumnSolver> make_column_solver(Backend& backend, int ordinal, Stream stream);

}  // namespace quarot::kernels::cuda
