#include "kernels/group.h"

#include <exception>
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
        rank.backend = make_backend(device_of_rank(device, std::ssize(backends)), options);
        backends.push_back(rank.backend.get());
    }
    auto comms = backends.front()->join(std::span(backends).subspan(1));
    for (size_t i = 0; i < ranks.size(); ++i) ranks[i].comm = std::move(comms.at(i));
    return ranks;
}

namespace {

// The first failure that is no echo of another one; null if there is none at all.
std::exception_ptr first_of(const std::vector<std::exception_ptr>& failures) {
    std::exception_ptr echo;
    for (const std::exception_ptr& failure : failures) {
        if (failure == nullptr) continue;
        try {
            std::rethrow_exception(failure);
        } catch (const comm::RankLeft&) {
            echo = failure;
        } catch (...) {
            return failure;
        }
    }
    return echo;
}

}  // namespace

void run_ranks(std::span<const std::shared_ptr<comm::Comm>> comms,
               const std::function<void(size_t)>& work) {
    std::vector<std::exception_ptr> failures(comms.size());
    const auto run = [&](size_t rank) {
        try {
            work(rank);
        } catch (...) {
            failures[rank] = std::current_exception();
            comms[rank]->leave();
        }
    };
    std::vector<std::thread> others;
    others.reserve(comms.size() - 1);
    for (size_t rank = 1; rank < comms.size(); ++rank) others.emplace_back(run, rank);
    run(0);
    for (std::thread& thread : others) thread.join();
    if (const auto failure = first_of(failures)) std::rethrow_exception(failure);
}

void run_ranks(std::vector<Rank>& group, const std::function<void(Rank&)>& work) {
    std::vector<std::shared_ptr<comm::Comm>> comms;
    for (const Rank& rank : group) comms.push_back(rank.comm);
    run_ranks(comms, [&](size_t rank) { work(group[rank]); });
}

}  // namespace quarot::kernels
