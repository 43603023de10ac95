// Keys by channel: the blocks that a sequence's tokens of one step lie in.
#pragma once

#include <cstdint>

#include "kernels/host_device.h"

namespace quarot::kernels {

// Positions [first, end), the first of them token `first_token` of the batch.
struct ChannelRun {
    int block = 1;  // positions
    int first = 0, end = 0;
    int64_t first_token = 0;
    int64_t seat = 0;

    QUAROT_HOST_DEVICE bool empty() const { return end == first; }
    QUAROT_HOST_DEVICE int first_block() const { return first / block; }
    QUAROT_HOST_DEVICE int newest_block() const { return (end - 1) / block; }
    // Keys of the first block that are from earlier steps.
    QUAROT_HOST_DEVICE int n_found() const { return first % block; }
    // Whether the step leaves that block, so that its own queries need it elsewhere.
    QUAROT_HOST_DEVICE bool leaves_block() const {
        return n_found() > 0 && newest_block() > first_block();
    }
    QUAROT_HOST_DEVICE int64_t token_of(int64_t position) const {
        return first_token + position - first;
    }
};

}  // namespace quarot::kernels
