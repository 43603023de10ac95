// Memory of the device and pinned memory of the host, as Buffers of the contract.
#pragma once

#include <cstdint>

#include "kernels/ops.h"

namespace quarot::kernels::cuda {

// Of the current device, 256-byte aligned; freed on whatever device it came from.
// Error{OutOfMemory} says how much was wanted and how much is free.
Buffer allocate_device(int64_t bytes);

// What the current device can still give.
int64_t free_device_bytes();

// Of the host, which the device copies from and to without waiting. Error{OutOfMemory}.
Buffer allocate_pinned(int64_t bytes);

// Memory of the current device that grows to the largest need seen; what the step's limits ask for
// is taken beforehand, so that no step allocates.
class Workspace {
  public:
    void* at_least(int64_t bytes) {
        if (memory_.bytes() < bytes) {
            memory_ = {};
            memory_ = allocate_device(bytes);
        }
        return memory_.data();
    }

  private:
    Buffer memory_;
};

}  // namespace quarot::kernels::cuda
