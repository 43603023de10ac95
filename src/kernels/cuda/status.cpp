#include "kernels/cuda/status.h"

#include "core/check.h"
#include "core/error.h"

namespace quarot::kernels::cuda {

void check(cudaError_t status, const char* call) {
    if (status == cudaSuccess) return;
    const ErrorCode code =
        status == cudaErrorMemoryAllocation ? ErrorCode::OutOfMemory : ErrorCode::Device;
    fail(code, "{}: {} ({})", call, cudaGetErrorString(status), cudaGetErrorName(status));
}

void check_launch(const char* kernel) {
    check(cudaGetLastError(), kernel);
}

void require(bool condition, const char* what) {
    QUAROT_CHECK(condition, "{}", what);
}

}  // namespace quarot::kernels::cuda
