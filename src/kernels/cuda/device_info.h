// What a launch function has to know of the GPU it runs on.
#pragma once

namespace quarot::kernels::cuda {

struct DeviceInfo {
    int ordinal = 0;
    int compute_capability = 0;  // 90 for 9.0
    int multiprocessors = 0;
    int shared_bytes = 0;  // that one block may ask for
};

// Of the calling thread's current device, read once per device. Error{Device} without one.
const DeviceInfo& current_device();

}  // namespace quarot::kernels::cuda
