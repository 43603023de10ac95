// The ranks of a tensor-parallel group on one machine.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "comm/comm.h"
#include "kernels/backend.h"

namespace quarot::kernels {

// A backend, and how it talks to those of the other ranks. One thread uses it.
struct Rank {
    std::unique_ptr<Backend> backend;
    std::shared_ptr<comm::Comm> comm;
};

// `size` backends, each with the options' threads, and the Comms that they make: of GPUs one on
// each that follows the named one, of other devices all on it. Errors as make_backend's and
// Backend::join's.
std::vector<Rank> make_group(const std::string& device, const BackendOptions& options, int size);

// Runs work(rank) for all ranks of a group, the first on the calling thread and each other one on a
// thread of its own. The first exception that is not an echo of another rank's is rethrown when all
// have ended; what collectives a rank is in throws where another one failed.
void run_ranks(std::span<const std::shared_ptr<comm::Comm>> comms,
               const std::function<void(size_t)>& work);
void run_ranks(std::vector<Rank>& group, const std::function<void(Rank&)>& work);

}  // namespace quarot::kernels
