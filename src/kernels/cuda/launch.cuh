// Launches of kernels: shared memory, cluster and programmatic dependent launch in one place.
#pragma once

#include <cuda_runtime.h>

#include <utility>

#include "kernels/cuda/device_info.h"
#include "kernels/cuda/status.h"
#include "kernels/cuda/stream.h"

namespace quarot::kernels::cuda {

struct LaunchShape {
    dim3 grid;
    dim3 block;
    int shared_bytes = 0;
    int cluster = 1;         // CTAs of a cluster along x; more than 1 needs compute capability 9.0
    bool overlapped = true;  // programmatic dependent launch, where the device has it
};

// Only enqueues. `name` is the kernel's in an error. Error{Device}.
template <typename... Parameters, typename... Arguments>
void launch(const char* name, void (*kernel)(Parameters...), const LaunchShape& shape,
            Stream stream, Arguments&&... arguments) {
    if (shape.shared_bytes > 32 * 1024) {  // static shared memory counts towards the 48 KiB
        check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                   shape.shared_bytes),
              name);
    }
    cudaLaunchAttribute attributes[2];
    unsigned n_attributes = 0;
    if (shape.cluster > 1) {
        attributes[n_attributes].id = cudaLaunchAttributeClusterDimension;
        attributes[n_attributes].val.clusterDim = {static_cast<unsigned>(shape.cluster), 1, 1};
        ++n_attributes;
    }
    if (shape.overlapped && current_device().compute_capability >= 90) {
        attributes[n_attributes].id = cudaLaunchAttributeProgrammaticStreamSerialization;
        attributes[n_attributes].val.programmaticStreamSerializationAllowed = 1;
        ++n_attributes;
    }
    cudaLaunchConfig_t config = {};
    config.gridDim = shape.grid;
    config.blockDim = shape.block;
    config.dynamicSmemBytes = static_cast<size_t>(shape.shared_bytes);
    config.stream = stream;
    config.attrs = attributes;
    config.numAttrs = n_attributes;
    check(cudaLaunchKernelEx(&config, kernel, std::forward<Arguments>(arguments)...), name);
}

}  // namespace quarot::kernels::cuda
