#include "kernels/group.h"

#include <exception>
#include <span>
#include <thread>
#include <utility>

#include "comm/thread_comm.h"
#include "core/error.h"

namespace quarot::kernels {

std::vector<Rank> make_group(const std::string& device, const BackendOptions& options, int size) {
    QUAROT_CHECK(size >= 1, "{}", size);
    std::vector<Rank> ranks(static_cast<size_t>(size));
    std::vector<Backend*> backends;
    for (Rank& rank : ranks) {
        rank.backend = make_backend(device, options);
        backends.push_back(rank.backend.get());
    }
    auto comms = backends.front()->join(std::span(backends).subspan(1));
    for (size_t i = 0; i < ranks.size(); ++i) ranks[i].comm = std::move(comms.at(i));
    return ranks;
}

void run_ranks(std::vector<Rank>& group, const std::function<void(Rank&)>& work) {
    std::vector<std::exception_ptr> failures(group.size());
    std::vector<std::thread> threads;
    threads.reserve(group.size());
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
        } catch (const comm::RankLeft&) {
            echo = failure;
        }
    }
    if (echo != nullptr) std::rethrow_exception(echo);
}

}  // namespace quarot::kernels
