// A group whose ranks are GPUs of one process.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "comm/comm.h"
#include "kernels/cuda/stream.h"

namespace quarot::kernels::cuda {

// One rank's GPU and the stream of its backend.
struct RankDevice {
    int ordinal = 0;
    Stream stream = nullptr;
};

// A Comm for each of 2, 4 or 8 ranks, each with a GPU of its own. A thread for each rank uses
// it; large sums, gather_columns and broadcast wait on the host for the other ranks' calls. Where a
// rank has left, calls that wait throw RankLeft, and kernels that wait end with any results.
// Error{Unsupported} for other numbers of ranks, two of them on one GPU, or GPUs that cannot read
// each other's memory; Error{Device, OutOfMemory}.
std::vector<std::unique_ptr<comm::Comm>> peer_comms(std::span<const RankDevice> devices);

}  // namespace quarot::kernels::cuda
