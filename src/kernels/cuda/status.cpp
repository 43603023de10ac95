#include "kernels/cuda/status.h"

#include <fmt/format.h>

#include <string>

#include "core/check.h"
#include "core/error.h"
#include "core/setting.h"

namespace quarot::kernels::cuda {

namespace {

constexpr Setting kDevice{"device"};

std::string described(cudaError_t status) {
    return fmt::format("{} ({})", cudaGetErrorString(status), cudaGetErrorName(status));
}

// What the reader can do about a failure while the device runs.
const char* advice(cudaError_t status) {
    switch (status) {
        case cudaErrorNoKernelImageForDevice:
        case cudaErrorUnsupportedPtxVersion:
            return "this program has no kernels for this GPU: build it with its architecture in "
                   "QUAROT_CUDA_ARCHITECTURES";
        case cudaErrorInvalidValue:
        case cudaErrorInvalidConfiguration:
        case cudaErrorInvalidDeviceFunction:
        case cudaErrorLaunchOutOfResources:
        case cudaErrorIllegalAddress:
        case cudaErrorMisalignedAddress:
        case cudaErrorIllegalInstruction:
        case cudaErrorInvalidPc:
        case cudaErrorAssert:
            return "please report it";
        default:
            return "start again, and if it fails again see what nvidia-smi and dmesg say of it";
    }
}

// "12.4" of 12040.
std::string version_name(int version) {
    return fmt::format("{}.{}", version / 1000, version % 1000 / 10);
}

}  // namespace

void check(cudaError_t status, const char* call) {
    if (status == cudaSuccess) return;
    cudaGetLastError();
    if (status == cudaErrorMemoryAllocation) {
        fail(ErrorCode::OutOfMemory,
             "the GPU's memory is full: {} failed; use a shorter context, fewer sequences at a "
             "time or {} cpu",
             call, kDevice);
    }
    fail(ErrorCode::Device, "the GPU failed in {}: {}; {}", call, described(status),
         advice(status));
}

void check_launch(const char* kernel) {
    check(cudaGetLastError(), kernel);
}

void check_presence(cudaError_t status, int ordinal) {
    if (status == cudaSuccess) return;
    cudaGetLastError();
    int driver = 0;
    if (status == cudaErrorInsufficientDriver && cudaDriverGetVersion(&driver) == cudaSuccess) {
        const std::string found =
            driver == 0 ? "this machine has no NVIDIA driver"
                        : fmt::format("its driver is for CUDA {}", version_name(driver));
        fail(ErrorCode::Device,
             "device cuda:{} cannot be used: {}, and one for CUDA {} is needed; install it, or use "
             "{} cpu",
             ordinal, found, version_name(CUDART_VERSION), kDevice);
    }
    if (status == cudaErrorNoDevice) {
        fail(ErrorCode::Device,
             "device cuda:{} is not there: the driver shows no GPU; see nvidia-smi and "
             "CUDA_VISIBLE_DEVICES, or use {} cpu",
             ordinal, kDevice);
    }
    fail(ErrorCode::Device, "device cuda:{} cannot be used: {}; see nvidia-smi, or use {} cpu",
         ordinal, described(status), kDevice);
}

void require(bool condition, const char* what) {
    QUAROT_CHECK(condition, "{}", what);
}

}  // namespace quarot::kernels::cuda
