// How a failing call of the CUDA runtime becomes an Error, and a broken invariant an abort.
#pragma once

#include <cuda_runtime_api.h>

namespace quarot::kernels::cuda {

// `call` is the function that returned `status`. Error{OutOfMemory} where device memory ran out,
// Error{Device} for every other failure; errors of earlier launches surface here too.
void check(cudaError_t status, const char* call);

// Of a launch just made: `kernel` names it in the error.
void check_launch(const char* kernel);

// QUAROT_CHECK for files that nvcc compiles, whose front end cannot take fmt: aborts with `what`
// unless `condition` holds.
void require(bool condition, const char* what);

}  // namespace quarot::kernels::cuda
