// What ranks on GPUs of one machine tell each other: recordings of many exchanges, replayed on all
// ranks at once; medians of 11, by the clock of the host, of the first rank.
//   bench_cuda_comm [RANKS]
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

#include "kernels/cuda/cuda_comm.h"
#include "kernels/group.h"

namespace quarot::kernels {

namespace {

constexpr int kReplays = 13, kWarmUps = 2;
constexpr int64_t kCols = 8192;

// Microseconds of one of `count` exchanges.
double time_exchanges(std::vector<Rank>& group, int count,
                      const std::function<void(Rank&, float*)>& exchange, int64_t rows) {
    double median = 0.0;
    run_ranks(group, [&](Rank& rank) {
        Backend& backend = *rank.backend;
        const int64_t bytes = 2 * rows * kCols * 4;  // of what is summed and what is spread
        const Buffer memory = backend.allocate(bytes);
        const std::vector<std::byte> zeros(static_cast<size_t>(bytes));
        backend.upload(memory.data(), zeros.data(), bytes);
        const auto recording = backend.record([&] {
            for (int i = 0; i < count; ++i) exchange(rank, static_cast<float*>(memory.data()));
        });
        std::vector<double> times;
        for (int i = 0; i < kReplays; ++i) {
            backend.synchronize();
            const auto start = std::chrono::steady_clock::now();
            recording->replay();
            backend.synchronize();
            const std::chrono::duration<double, std::micro> time =
                std::chrono::steady_clock::now() - start;
            if (i >= kWarmUps) times.push_back(time.count() / count);
        }
        std::ranges::sort(times);
        if (rank.comm->rank() == 0) median = times[times.size() / 2];
    });
    return median;
}

Rows rows_at(float* data, int64_t rows) {
    return {data, DType::F32, rows, kCols, kCols};
}

// The share of a sum, and a byte a value of it to everybody, as a norm's codes.
void share_and_spread(Rank& rank, float* data, int64_t rows) {
    auto& comm = static_cast<cuda::PeerComm&>(*rank.comm);
    const comm::RowShare share = comm::row_share(rows, comm.rank(), comm.size());
    comm.sum_share(rows_at(data, rows));
    auto* codes = reinterpret_cast<std::byte*>(data + rows * kCols);
    const cuda::PeerComm::Range own = {codes + share.first * kCols, share.count * kCols};
    comm.spread(codes, {&own, 1}, false);
}

void run(int n_ranks) {
    std::vector<Rank> group = make_group("cuda", {}, n_ranks);
    fmt::print("{} ranks, {} columns of fp32; us an exchange\n", n_ranks, kCols);
    fmt::print("{:>8}{:>10}{:>20}\n", "rows", "sum", "share and spread");
    for (const int64_t rows : {1, 8, 16, 17, 64, 512, 2048}) {
        const int count = rows <= 64 ? 200 : 20;
        const double sum = time_exchanges(
            group, count, [&](Rank& rank, float* data) { rank.comm->sum(rows_at(data, rows)); },
            rows);
        std::string shared = "-";
        if (group.front().comm->shares_rows(rows)) {
            shared = fmt::format(
                "{:.1f}",
                time_exchanges(
                    group, count,
                    [&](Rank& rank, float* data) { share_and_spread(rank, data, rows); }, rows));
        }
        fmt::print("{:>8}{:>10.1f}{:>20}\n", rows, sum, shared);
    }
}

}  // namespace

}  // namespace quarot::kernels

int main(int argc, char** argv) {
    try {
        quarot::kernels::run(argc > 1 ? std::atoi(argv[1]) : 2);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "bench_cuda_comm: %s\n", error.what());
        return 1;
    }
}
