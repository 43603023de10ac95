#include "kernels/group.h"

#include <algorithm>
#include <span>
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

RankThreads::RankThreads(std::vector<std::shared_ptr<comm::Comm>> comms)
    : comms_(std::move(comms)), failures_(comms_.size()) {
    for (size_t rank = 1; rank < comms_.size(); ++rank) {
        threads_.emplace_back([this, rank] { serve(rank); });
    }
}

RankThreads::~RankThreads() {
    {
        const std::lock_guard lock(mutex_);
        stops_ = true;
    }
    changed_.notify_all();
    for (std::thread& thread : threads_) thread.join();
}

void RankThreads::run(const std::function<void(size_t)>& work) {
    std::fill(failures_.begin(), failures_.end(), nullptr);
    {
        const std::lock_guard lock(mutex_);
        work_ = &work;
        n_working_ = threads_.size();
        ++n_calls_;
    }
    changed_.notify_all();
    work_as(0);
    {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return n_working_ == 0; });
    }
    if (const auto failure = first_of(failures_)) std::rethrow_exception(failure);
}

void RankThreads::serve(size_t rank) {
    std::unique_lock lock(mutex_);
    for (int64_t n_done = 0;; ++n_done) {
        changed_.wait(lock, [&] { return n_calls_ > n_done || stops_; });
        if (stops_) return;
        lock.unlock();
        work_as(rank);
        lock.lock();
        if (--n_working_ == 0) changed_.notify_all();
    }
}

void RankThreads::work_as(size_t rank) {
    try {
        (*work_)(rank);
    } catch (...) {
        failures_[rank] = std::current_exception();
        comms_[rank]->leave();
    }
}

void run_ranks(std::vector<Rank>& group, const std::function<void(Rank&)>& work) {
    std::vector<std::shared_ptr<comm::Comm>> comms;
    comms.reserve(group.size());
    for (const Rank& rank : group) comms.push_back(rank.comm);
    RankThreads(std::move(comms)).run([&](size_t rank) { work(group[rank]); });
}

}  // namespace quarot::kernels
