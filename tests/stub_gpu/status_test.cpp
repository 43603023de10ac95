// Statuses of the CUDA runtime as errors: the code, and a sentence that helps.
#include "kernels/cuda/status.h"

#include <gtest/gtest.h>

#include "core/expect_error.h"

namespace quarot::kernels::cuda {
namespace {

TEST(CudaStatus, SuccessIsNoError) {
    EXPECT_NO_THROW(check(cudaSuccess, "cudaMalloc"));
    EXPECT_NO_THROW(check_presence(cudaSuccess, 0));
}

TEST(CudaStatus, FullMemoryIsOutOfMemoryAndSaysWhatTakesLess) {
    expect_error(ErrorCode::OutOfMemory, {"cudaMalloc", "shorter context", "`device` cpu"},
                 [] { check(cudaErrorMemoryAllocation, "cudaMalloc"); });
}

TEST(CudaStatus, ALostDeviceIsADeviceErrorAndSaysWhereToLook) {
    for (const cudaError_t status :
         {cudaErrorDevicesUnavailable, cudaErrorECCUncorrectable, cudaErrorHardwareStackError,
          cudaErrorLaunchFailure, cudaErrorLaunchTimeout, cudaErrorUnknown}) {
        expect_error(
            ErrorCode::Device,
            {"cudaStreamSynchronize", cudaGetErrorName(status), "start again", "nvidia-smi"},
            [&] { check(status, "cudaStreamSynchronize"); });
    }
}

TEST(CudaStatus, WhatAKernelDidWrongIsToBeReported) {
    for (const cudaError_t status :
         {cudaErrorIllegalAddress, cudaErrorInvalidConfiguration, cudaErrorMisalignedAddress}) {
        expect_error(ErrorCode::Device,
                     {"linear_tile", cudaGetErrorName(status), "please report it"},
                     [&] { check(status, "linear_tile"); });
    }
}

TEST(CudaStatus, AProgramForOtherGpusSaysHowToBuildIt) {
    expect_error(ErrorCode::Device, {"embed", "QUAROT_CUDA_ARCHITECTURES"},
                 [] { check(cudaErrorNoKernelImageForDevice, "embed"); });
}

TEST(CudaStatus, NoGpuIsToldFromOtherFailures) {
    expect_error(ErrorCode::Device, {"cuda:3", "no GPU", "CUDA_VISIBLE_DEVICES", "`device` cpu"},
                 [] { check_presence(cudaErrorNoDevice, 3); });
    expect_error(ErrorCode::Device, {"cuda:3", "cudaErrorSystemNotReady", "`device` cpu"},
                 [] { check_presence(cudaErrorSystemNotReady, 3); });
}

}  // namespace
}  // namespace quarot::kernels::cuda
