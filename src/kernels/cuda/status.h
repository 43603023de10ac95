// How a failing call of the CUDA runtime becomes an Error, and a broken invariant an abort.
#pragma once

#include <cuda_runtime_api.h>

namespace quarot::kernels::cuda {

// `call` is the function that returned `status`, or the kernel that was launched. Nothing for
// cudaSuccess; Error{OutOfMemory} where device memory ran out, Error{Device} for every other
// failure, with what helps against its kind; errors of earlier launches surface here too. Takes
// back what the runtime remembers of it: after an allocation that failed the device goes on.
void check(cudaError_t status, const char* call);

// Of a launch just made: `kernel` names it in the error.
void check_launch(const char* kernel);

// Of the call that counts the GPUs, before device `ordinal` is opened: Error{Device} that tells a
// missing driver, one that is too old and a machine without a GPU apart.
void check_presence(cudaError_t status, int ordinal);

// QUAROT_CHECK for files that nvcc compiles, whose front end cannot take fmt: aborts with `what`
// unless `condition` holds.
void require(bool condition, const char* what);

}  // namespace quarot::kernels::cuda
