#include "kernels/cuda/cuda_memory.h"

#include <cuda_runtime_api.h>

#include <algorithm>

#include "core/check.h"
#include "core/error.h"
#include "core/setting.h"
#include "kernels/cuda/status.h"

namespace quarot::kernels::cuda {

Buffer allocate_device(int64_t bytes) {
    QUAROT_CHECK(bytes >= 0, "{}", bytes);
    void* data = nullptr;
    const cudaError_t status = cudaMalloc(&data, static_cast<size_t>(std::max<int64_t>(bytes, 1)));
    if (status == cudaErrorMemoryAllocation) {
        cudaGetLastError();  // as check() does
        size_t free = 0, total = 0;
        check(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
        fail(ErrorCode::OutOfMemory,
             "the GPU cannot give {} more bytes, {} of its {} are free; use a shorter context, "
             "fewer sequences at a time or {} cpu",
             bytes, free, total, Setting{"device"});
    }
    check(status, "cudaMalloc");
    return {data, bytes, [](void* memory) { cudaFree(memory); }};
}

int64_t free_device_bytes() {
    size_t free = 0, total = 0;
    check(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
    return static_cast<int64_t>(free);
}

Buffer allocate_pinned(int64_t bytes) {
    QUAROT_CHECK(bytes >= 0, "{}", bytes);
    void* data = nullptr;
    const cudaError_t status =
        cudaMallocHost(&data, static_cast<size_t>(std::max<int64_t>(bytes, 1)));
    if (status == cudaErrorMemoryAllocation) {
        cudaGetLastError();
        fail(ErrorCode::OutOfMemory, "cannot allocate {} bytes of pinned host memory", bytes);
    }
    check(status, "cudaMallocHost");
    return {data, bytes, [](void* memory) { cudaFreeHost(memory); }};
}

}  // namespace quarot::kernels::cuda
