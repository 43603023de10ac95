// A group whose ranks are GPUs of one process.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "comm/comm.h"
#include "kernels/cuda/peer_exchange.h"
#include "kernels/cuda/stream.h"

namespace quarot::kernels::cuda {

// One rank's GPU and the stream of its backend.
struct RankDevice {
    int ordinal = 0;
    Stream stream = nullptr;
};

class PeerGroup;

// One rank's Comm. Steps of many rows share them: see comm.h.
class PeerComm final : public comm::Comm {
  public:
    PeerComm(std::shared_ptr<PeerGroup> group, int rank, RankDevice device);

    int rank() const override { return rank_; }
    int size() const override;
    void sum(Rows rows) override;
    void gather_columns(Rows part, Rows whole) override;
    bool shares_rows(int64_t rows) const override;
    void gather_rows(Rows rows) override;
    void maximum(float* values, int64_t n) override;
    void broadcast(void* data, int64_t bytes) override;
    void leave() override;

    // The sum of this rank's row_share, in place; other rows stay as they are. Others still read
    // `rows` until the next call that spreads.
    void sum_share(Rows rows);
    // Bytes that lie equally far behind `base` on all ranks go from this one to all others.
    // meets_first may be false behind sum_share, where nobody uses that memory any more.
    struct Range {
        const void* first = nullptr;
        int64_t bytes = 0;
    };
    void spread(void* base, std::span<const Range> ranges, bool meets_first);

  private:
    const PeerView& view() const;
    Stream stream() const;
    PeerRows meet(const Rows& rows);

    std::shared_ptr<PeerGroup> group_;
    int rank_;
    RankDevice device_;
};

// A Comm for each of 2, 4 or 8 ranks, each with a GPU of its own. A thread for each rank uses
// it; large sums, gather_columns and broadcast wait on the host for the other ranks' calls. Where a
// rank has left, calls that wait throw RankLeft, and kernels that wait end with any results.
// Error{Unsupported} for other numbers of ranks, two of them on one GPU, or GPUs that cannot read
// each other's memory; Error{Device, OutOfMemory}.
std::vector<std::unique_ptr<comm::Comm>> peer_comms(std::span<const RankDevice> devices);

}  // namespace quarot::kernels::cuda
