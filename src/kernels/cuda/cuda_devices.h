// The GPUs of this machine, and the one that a backend opens.
#pragma once

#include <string>
#include <vector>

#include "kernels/backend.h"
#include "kernels/cuda/device_info.h"

namespace quarot::kernels::cuda {

// Makes it the calling thread's device. Error{Device}: not there, no driver or one too old;
// Error{Unsupported}: compute capability below 8.0.
DeviceInfo open_device(int ordinal);

// What backend.h promises of gpus().
std::vector<GpuInfo> list_gpus();
// Of the CUDA that the kernels were compiled with: "13.0".
std::string toolkit_version();

}  // namespace quarot::kernels::cuda
