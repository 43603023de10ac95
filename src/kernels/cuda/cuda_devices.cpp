#include "kernels/cuda/cuda_devices.h"

#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include "core/error.h"
#include "kernels/cuda/status.h"

namespace quarot::kernels::cuda {

namespace {

constexpr int kLeastCapability = 80;

}  // namespace

DeviceInfo open_device(int ordinal) {
    int count = 0;
    check_presence(cudaGetDeviceCount(&count), ordinal);
    if (ordinal < 0 || ordinal >= count) {
        fail(ErrorCode::Device, "device cuda:{} is not there, this machine has {} GPU{}", ordinal,
             count, count == 1 ? "" : "s");
    }
    check(cudaSetDevice(ordinal), "cudaSetDevice");
    const DeviceInfo info = current_device();
    if (info.compute_capability < kLeastCapability) {
        fail(ErrorCode::Unsupported,
             "device cuda:{} has compute capability {}.{}, expected 8.0 or more", ordinal,
             info.compute_capability / 10, info.compute_capability % 10);
    }
    return info;
}

std::string toolkit_version() {
    return fmt::format("{}.{}", CUDART_VERSION / 1000, CUDART_VERSION % 1000 / 10);
}

std::vector<GpuInfo> list_gpus() {
    std::vector<GpuInfo> found;
    int count = 0;
    if (cudaGetDeviceCount(&count) != cudaSuccess) return found;
    for (int i = 0; i < count; ++i) {
        cudaDeviceProp properties = {};
        check(cudaGetDeviceProperties(&properties, i), "cudaGetDeviceProperties");
        if (10 * properties.major + properties.minor < kLeastCapability) continue;
        found.push_back({.ordinal = i,
                         .name = properties.name,
                         .compute_capability = 10 * properties.major + properties.minor,
                         .bytes = static_cast<int64_t>(properties.totalGlobalMem)});
    }
    return found;
}

}  // namespace quarot::kernels::cuda
