#include "core/thread_pool.h"

#include <sched.h>

#include <algorithm>
#include <fstream>
#include <set>
#include <string>
#include <utility>

#include "core/check.h"
#include "core/control_groups.h"
#include "core/error.h"

namespace quarot {

namespace {

// Between two jobs of one forward pass a worker spins; only longer pauses put it to sleep.
constexpr int kSpins = 20000;

void cpu_relax() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

}  // namespace

ThreadPool::ThreadPool(int n_threads) : ThreadPool(n_threads, {}) {}

ThreadPool::ThreadPool(int n_threads, std::function<void()> on_wake)
    : on_wake_(std::move(on_wake)) {
    QUAROT_CHECK(n_threads >= 1, "{}", n_threads);
    try {
        for (int thread = 1; thread < n_threads; ++thread) {
            workers_.emplace_back([this, thread] { worker_loop(thread); });
        }
    } catch (const std::exception& error) {  // std::system_error, or no memory for the list
        stop_workers();
        fail(ErrorCode::OutOfMemory, "cannot start {} threads: {}", n_threads, error.what());
    }
}

ThreadPool::~ThreadPool() {
    stop_workers();
}

void ThreadPool::stop_workers() {
    {
        const std::lock_guard lock(mutex_);
        stop_ = true;
        ticket_ = ((ticket_ >> 32) + 1) << 32 | kClosed;
    }
    wake_.notify_all();
    for (auto& worker : workers_) worker.join();
}

void ThreadPool::parallel_for(int64_t n_tasks, const std::function<void(int64_t, int)>& body) {
    if (n_tasks <= 0) return;
    if (workers_.empty() || n_tasks == 1) {
        for (int64_t task = 0; task < n_tasks; ++task) body(task, 0);
        return;
    }
    QUAROT_CHECK(n_tasks < static_cast<int64_t>(kClosed), "{}", n_tasks);
    body_ = &body;
    n_tasks_ = static_cast<uint32_t>(n_tasks);
    n_done_ = 0;
    failed_ = false;
    const auto job = static_cast<uint32_t>((ticket_ >> 32) + 1);
    ticket_ = static_cast<uint64_t>(job) << 32;
    if (n_sleeping_ > 0) {
        const std::lock_guard lock(mutex_);
        wake_.notify_all();
    }
    run_tasks(job, 0);
    for (int spin = 0; n_done_.load(std::memory_order_acquire) != n_tasks_; ++spin) {
        if (spin > kSpins) std::this_thread::yield();
        cpu_relax();
    }
    ticket_ = static_cast<uint64_t>(job) << 32 | kClosed;
    if (failed_) std::rethrow_exception(std::exchange(error_, nullptr));
}

void ThreadPool::run_tasks(uint32_t job, int thread) {
    uint64_t ticket = ticket_;
    while (static_cast<uint32_t>(ticket >> 32) == job) {
        const auto task = static_cast<uint32_t>(ticket);
        const auto* body = body_.load();
        if (task >= n_tasks_) return;
        if (!ticket_.compare_exchange_weak(ticket, ticket + 1)) continue;
        try {
            if (!failed_) (*body)(task, thread);
        } catch (...) {
            report(std::current_exception());
        }
        n_done_.fetch_add(1, std::memory_order_release);
        ticket = ticket_;
    }
}

void ThreadPool::report(std::exception_ptr error) {
    const std::lock_guard lock(mutex_);
    if (!failed_) error_ = std::move(error);
    failed_ = true;
}

void ThreadPool::worker_loop(int thread) {
    uint32_t seen = 0;
    while (true) {
        wait_for_job(seen);
        // In this order: stop_workers() sets stop_ before the ticket that this may be.
        seen = static_cast<uint32_t>(ticket_ >> 32);
        if (on_wake_) on_wake_();
        if (stop_) return;
        run_tasks(seen, thread);
    }
}

void ThreadPool::wait_for_job(uint32_t seen) {
    const auto is_new = [&] { return static_cast<uint32_t>(ticket_ >> 32) != seen; };
    for (int spin = 0; spin < kSpins; ++spin) {
        if (is_new()) return;
        cpu_relax();
    }
    std::unique_lock lock(mutex_);
    ++n_sleeping_;
    wake_.wait(lock, is_new);
    --n_sleeping_;
}

int physical_cores(const std::string& root) {
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
    std::set<std::string> cores;
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
        if (!CPU_ISSET(cpu, &set)) continue;
        const std::string topology =
            root + "/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/";
        std::string package = "?", core = std::to_string(cpu);
        std::ifstream(topology + "physical_package_id") >> package;
        std::ifstream(topology + "core_id") >> core;
        cores.insert(package + ":" + core);
    }
    const auto n_cores = static_cast<double>(cores.size());
    const double quota = control_group_limits(root).cpus.value_or(n_cores);
    return std::max(1, static_cast<int>(std::min(n_cores, quota)));
}

}  // namespace quarot
