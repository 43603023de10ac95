#include "comm/group.h"

#include <exception>
#include <thread>

#include "comm/thread_comm.h"
#include "core/error.h"

namespace quarot::comm {

std::vector<Rank> make_group(const std::string& device, const kernels::BackendOptions& options,
                             int size) {
    QUAROT_CHECK(size >= 1, "{}", size);
    std::vector<Rank> ranks(static_cast<size_t>(size));
    for (Rank& rank : ranks) rank.backend = kernels::make_backend(device, options);
    if (size == 1) {
        ranks.front().comm = std::make_unique<SingleComm>();
        return ranks;
    }
    const std::string name = ranks.front().backend->info().name;
    if (name != "cpu" && name != "reference") {
        fail(ErrorCode::Unsupported, "a group of {} ranks is not available on {}", size, name);
    }
    const auto group = std::make_shared<ThreadGroup>(size);
    for (int rank = 0; rank < size; ++rank) {
        ranks[static_cast<size_t>(rank)].comm = std::make_unique<ThreadComm>(group, rank);
    }
    return ranks;
}

void run_ranks(std::vector<Rank>& group, const std::function<void(Rank&)>& work) {
    std::vector<std::exception_ptr> failures(group.size());
    std::vector<std::thread> threads;
    for (size_t i = 0; i < group.size(); ++i) {
        threads.emplace_back([&, i] {
            try {
                work(group[i]);
            } catch (...) {
                failures[i] = std::current_exception();
                group[i].comm->leave();
            }
        });
    }
    for (std::thread& thread : threads) thread.join();
    std::exception_ptr echo;
    for (const std::exception_ptr& failure : failures) {
        if (failure == nullptr) continue;
        try {
            std::rethrow_exception(failure);
        } catch (const RankLeft&) {
            echo = failure;
        }
    }
    if (echo != nullptr) std::rethrow_exception(echo);
}

}  // namespace quarot::comm
