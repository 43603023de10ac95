// The ranks of a tensor-parallel group on one machine.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "comm/comm.h"
#include "kernels/backend.h"

namespace quarot::comm {

// A backend, and how it talks to those of the other ranks. One thread uses it.
struct Rank {
    std::unique_ptr<kernels::Backend> backend;
    std::unique_ptr<Comm> comm;
};

// `size` ranks on one kind of device, each with the options' threads. Ranks of backends in host
// memory are threads of this process. Error{Unsupported} for more than one rank of another device.
std::vector<Rank> make_group(const std::string& device, const kernels::BackendOptions& options,
                             int size);

// Runs work(rank) for all ranks, each on a thread of its own. The first exception that is not an
// echo of another rank's is rethrown when all have ended; what collectives a rank is in throws
// where another one failed.
void run_ranks(std::vector<Rank>& group, const std::function<void(Rank&)>& work);

}  // namespace quarot::comm
