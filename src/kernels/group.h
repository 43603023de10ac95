// The ranks of a tensor-parallel group on one machine.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
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

// The threads of a group's ranks: the first rank's is the caller's, each other one has a thread of
// its own for as long as this lives.
class RankThreads {
  public:
    explicit RankThreads(std::vector<std::shared_ptr<comm::Comm>> comms);
    ~RankThreads();
    RankThreads(const RankThreads&) = delete;
    RankThreads& operator=(const RankThreads&) = delete;

    // work(rank) for all ranks at once. The first exception that is not an echo of another rank's
    // is rethrown when all have ended; what collectives a rank is in throws where another one
    // failed. One call at a time.
    void run(const std::function<void(size_t)>& work);

  private:
    void serve(size_t rank);
    void work_as(size_t rank);

    std::vector<std::shared_ptr<comm::Comm>> comms_;
    std::vector<std::exception_ptr> failures_;  // by rank
    std::mutex mutex_;                          // guards what follows
    std::condition_variable changed_;
    const std::function<void(size_t)>* work_ = nullptr;
    int64_t n_calls_ = 0;
    size_t n_working_ = 0;  // of the ranks with a thread of their own
    bool stops_ = false;
    std::vector<std::thread> threads_;
};

// One call, on threads made for it.
void run_ranks(std::vector<Rank>& group, const std::function<void(Rank&)>& work);

}  // namespace quarot::kernels
