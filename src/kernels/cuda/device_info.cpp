#include "kernels/cuda/device_info.h"

#include <cuda_runtime_api.h>

#include <map>
#include <mutex>

#include "kernels/cuda/status.h"

namespace quarot::kernels::cuda {

namespace {

int attribute(cudaDeviceAttr which, int device) {
    int value = 0;
    check(cudaDeviceGetAttribute(&value, which, device), "cudaDeviceGetAttribute");
    return value;
}

DeviceInfo read_device(int device) {
    return {.ordinal = device,
            .compute_capability = 10 * attribute(cudaDevAttrComputeCapabilityMajor, device) +
                                  attribute(cudaDevAttrComputeCapabilityMinor, device),
            .multiprocessors = attribute(cudaDevAttrMultiProcessorCount, device),
            .shared_bytes = attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin, device)};
}

}  // namespace

const DeviceInfo& current_device() {
    static std::mutex mutex;
    static std::map<int, DeviceInfo> known;  // references stay valid
    int device = 0;
    check(cudaGetDevice(&device), "cudaGetDevice");
    const std::lock_guard lock(mutex);
    auto found = known.find(device);
    if (found == known.end()) found = known.emplace(device, read_device(device)).first;
    return found->second;
}

}  // namespace quarot::kernels::cuda
