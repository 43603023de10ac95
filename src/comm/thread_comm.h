// A group whose ranks are threads of one process, over backends in host memory.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "comm/comm.h"
#include "core/error.h"

namespace quarot::comm {

// What a rank hears where another one has failed.
class RankLeft : public Error {
  public:
    RankLeft() : Error(ErrorCode::Internal, "another rank of the group has failed") {}
};

// What the threads of a group share: a barrier, and where each rank's operand lies.
class ThreadGroup {
  public:
    explicit ThreadGroup(int size) : places_(static_cast<size_t>(size)) {}

    int size() const { return static_cast<int>(places_.size()); }
    // Returns when every rank has come. RankLeft if one has left.
    void meet();
    // Says that this rank takes part no more: the others do not wait for it.
    void leave();
    // Rank r's operand, to be read between two meetings.
    std::byte*& place(int rank) { return places_[static_cast<size_t>(rank)]; }

  private:
    std::mutex mutex_;
    std::condition_variable all_came_;
    int n_waiting_ = 0;
    int64_t n_meetings_ = 0;
    bool broken_ = false;
    std::vector<std::byte*> places_;
};

class ThreadComm final : public Comm {
  public:
    // The backend's operations must have run when they return.
    ThreadComm(std::shared_ptr<ThreadGroup> group, int rank)
        : group_(std::move(group)), rank_(rank) {}

    int rank() const override { return rank_; }
    int size() const override { return group_->size(); }
    void sum(Rows rows) override;
    void gather_columns(Rows part, Rows whole) override;
    bool shares_rows(int64_t) const override { return false; }
    void gather_rows(Rows rows) override;
    void maximum(float* values, int64_t n) override;
    void broadcast(void* data, int64_t bytes) override;
    void leave() override { group_->leave(); }

  private:
    // Reads the other ranks' operands of which `own` is this rank's.
    template <typename Read>
    void exchange(void* own, const Read& read);

    std::shared_ptr<ThreadGroup> group_;
    int rank_;
    std::vector<float> sums_;  // kept for its memory
};

// A Comm for each rank of a group of `size` threads, in order; of one rank a SingleComm.
std::vector<std::unique_ptr<Comm>> thread_comms(int size);

}  // namespace quarot::comm
