#include "kernels/cuda/cuda_comm.h"

#include <cuda_runtime_api.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <iterator>
#include <set>
#include <utility>

#include "comm/thread_comm.h"
#include "core/check.h"
#include "core/error.h"
#include "kernels/cuda/activation_layout.h"
#include "kernels/cuda/cuda_memory.h"
#include "kernels/cuda/peer_exchange.h"
#include "kernels/cuda/status.h"

namespace quarot::kernels::cuda {

namespace {

void use_device(int ordinal) {
    check(cudaSetDevice(ordinal), "cudaSetDevice");
}

// A kernel that waits for another rank keeps that rank's from being loaded on the same GPU.
void require_own_gpus(std::span<const RankDevice> devices) {
    std::set<int> used;
    for (const RankDevice& device : devices) {
        if (used.insert(device.ordinal).second) continue;
        fail(ErrorCode::Unsupported, "two ranks of a group are on GPU {}, expected one on each",
             device.ordinal);
    }
}

void let_access(int from, int to) {
    int possible = 0;
    check(cudaDeviceCanAccessPeer(&possible, from, to), "cudaDeviceCanAccessPeer");
    if (possible == 0) {
        fail(ErrorCode::Unsupported,
             "GPU {} cannot read the memory of GPU {}, which ranks on them would need", from, to);
    }
    use_device(from);
    const cudaError_t status = cudaDeviceEnablePeerAccess(to, 0);
    if (status == cudaErrorPeerAccessAlreadyEnabled) {
        cudaGetLastError();  // as check() does
        return;
    }
    check(status, "cudaDeviceEnablePeerAccess");
}

Buffer zeros(int64_t bytes) {
    Buffer memory = allocate_device(bytes);
    check(cudaMemset(memory.data(), 0, static_cast<size_t>(bytes)), "cudaMemset");
    return memory;
}

// Sums of so many rows are quicker whole: three launches instead of one share them.
constexpr int64_t kMostSummedWhole = 64;

// Fewer rows a rank lie in another order where they are quantized (activation_layout.h).
constexpr int64_t kLeastSharedRows = kStreamedRows + 1;

}  // namespace

// What all ranks share: where each of them waits, on the host and on its GPU.
class PeerGroup {
  public:
    explicit PeerGroup(std::span<const RankDevice> devices)
        : host_(static_cast<int>(devices.size())), views_(devices.size()) {
        const auto size = static_cast<int64_t>(devices.size());
        use_device(devices.front().ordinal);
        abandoned_ = allocate_pinned(sizeof(uint32_t));
        std::memset(abandoned_.data(), 0, sizeof(uint32_t));
        for (size_t rank = 0; rank < devices.size(); ++rank) {
            for (const RankDevice& other : devices) {
                if (&other != &devices[rank]) let_access(devices[rank].ordinal, other.ordinal);
            }
            use_device(devices[rank].ordinal);
            views_[rank].rank = static_cast<int>(rank);
            views_[rank].size = host_.size();
            views_[rank].turn = take<uint32_t>(2);
            views_[rank].barriers = take<uint32_t>(kPeerCtas);
            views_[rank].abandoned = static_cast<const uint32_t*>(abandoned_.data());
            auto* stamped = take<StampedValue>(2 * size * kMostStamped);
            auto* arrivals = take<uint32_t>(size * kPeerCtas);
            for (PeerView& view : views_) {
                view.stamped[rank] = stamped;
                view.arrivals[rank] = arrivals;
            }
            check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
        }
    }

    const PeerView& view(int rank) const { return views_[static_cast<size_t>(rank)]; }
    int size() const { return host_.size(); }

    // The operands of all ranks, of which `own` is this rank's, once each has come.
    template <typename T>
    std::array<T*, kMostRanks> meet(int rank, T* own) {
        host_.place(rank) = reinterpret_cast<std::byte*>(own);
        host_.meet();
        std::array<T*, kMostRanks> all{};
        for (int r = 0; r < size(); ++r) {
            all[static_cast<size_t>(r)] = reinterpret_cast<T*>(host_.place(r));
        }
        host_.meet();  // so that no place changes while another rank reads it
        return all;
    }

    void leave() {
        host_.leave();
        *static_cast<volatile uint32_t*>(abandoned_.data()) = 1;
    }

  private:
    template <typename T>
    T* take(int64_t n) {
        memory_.push_back(zeros(n * static_cast<int64_t>(sizeof(T))));
        return static_cast<T*>(memory_.back().data());
    }

    comm::ThreadGroup host_;
    Buffer abandoned_;
    std::vector<Buffer> memory_;
    std::vector<PeerView> views_;
};

PeerComm::PeerComm(std::shared_ptr<PeerGroup> group, int rank, RankDevice device)
    : group_(std::move(group)), rank_(rank), device_(device) {}

int PeerComm::size() const {
    return group_->size();
}

void PeerComm::sum(Rows rows) {
    if (rows.rows * rows.cols <= kMostStamped) {
        sum_stamped(view(), {rows.f32(), DType::F32, rows.rows, rows.cols, rows.stride}, stream());
    } else {
        sum_in_slices(view(), meet(rows), stream());
    }
}

void PeerComm::gather_columns(Rows part, Rows whole) {
    QUAROT_CHECK(part.rows == whole.rows && part.cols * size() == whole.cols, "{} {}", part.cols,
                 whole.cols);
    cuda::gather_columns(view(), {part.f32(), DType::F32, part.rows, part.cols, part.stride},
                         meet(whole), stream());
}

bool PeerComm::shares_rows(int64_t rows) const {
    return rows / size() >= kLeastSharedRows && rows > kMostSummedWhole;
}

void PeerComm::gather_rows(Rows rows) {
    const comm::RowShare share = comm::row_share(rows.rows, rank_, size());
    const Range own = {rows.f32(share.first), share.count * rows.stride * size_of(DType::F32)};
    spread(rows.data, {&own, 1}, true);
}

void PeerComm::maximum(float* values, int64_t n) {
    cuda::maximum(view(), values, n, stream());
}

void PeerComm::broadcast(void* data, int64_t bytes) {
    const Range whole = {data, bytes};
    spread(data, {&whole, rank_ == 0 ? size_t{1} : size_t{0}}, true);
}

void PeerComm::leave() {
    group_->leave();
}

void PeerComm::sum_share(Rows rows) {
    const comm::RowShare share = comm::row_share(rows.rows, rank_, size());
    cuda::sum_share(view(), meet(rows), {share.first, share.count}, stream());
}

void PeerComm::spread(void* base, std::span<const Range> ranges, bool meets_first) {
    PeerRanges all = {.meets_first = meets_first};
    std::ranges::copy(group_->meet(rank_, static_cast<std::byte*>(base)), all.base);
    QUAROT_CHECK(ranges.size() <= std::size(all.ranges), "{}", ranges.size());
    for (const Range& range : ranges) {
        const auto offset = static_cast<const std::byte*>(range.first) - all.base[rank_];
        all.ranges[all.n++] = {offset, range.bytes};
    }
    cuda::spread(view(), all, stream());
}

const PeerView& PeerComm::view() const {
    return group_->view(rank_);
}

// For every call, as the backend's.
Stream PeerComm::stream() const {
    use_device(device_.ordinal);
    return device_.stream;
}

PeerRows PeerComm::meet(const Rows& rows) {
    PeerRows all = {.rows = rows.rows, .cols = rows.cols, .stride = rows.stride};
    std::ranges::copy(group_->meet(rank_, rows.f32()), all.at);
    return all;
}

std::vector<std::unique_ptr<comm::Comm>> peer_comms(std::span<const RankDevice> devices) {
    const size_t n = devices.size();
    if (n < 2 || n > kMostRanks || !std::has_single_bit(n)) {
        fail(ErrorCode::Unsupported, "a group of {} ranks is not available on cuda, 2, 4 or 8 are",
             n);
    }
    require_own_gpus(devices);
    const auto group = std::make_shared<PeerGroup>(devices);
    std::vector<std::unique_ptr<comm::Comm>> comms;
    comms.reserve(n);
    for (size_t rank = 0; rank < devices.size(); ++rank) {
        comms.push_back(std::make_unique<PeerComm>(group, static_cast<int>(rank), devices[rank]));
    }
    return comms;
}

}  // namespace quarot::kernels::cuda
