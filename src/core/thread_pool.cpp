#include "core/thread_pool.h"

#include <sched.h>

#include <algorithm>
#include <fstream>
#include <set>
#include <string>
#include <utility>

#include "core/check.h"

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

ThreadPool::ThreadPool(int n_threads) {
    QUAROT_CHECK(n_threads >= 1, "{}", n_threads);
    for (int thread = 1; thread < n_threads; ++thread) {
        workers_.emplace_back([this, thread] { worker_loop(thread); });
    }
}

ThreadPool::~ThreadPool() {
    {
        const std::lock_guard lock(mutex_);
        stop_ = true;
        ++generation_;
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
    body_ = &body;
    n_tasks_ = n_tasks;
    next_task_ = 0;
    n_running_ = static_cast<int>(workers_.size());
    {
        const std::lock_guard lock(mutex_);
        ++generation_;
    }
    wake_.notify_all();
    run_tasks(0);
    for (int spin = 0; n_running_.load(std::memory_order_acquire) != 0; ++spin) {
        if (spin > kSpins) std::this_thread::yield();
        cpu_relax();
    }
    body_ = nullptr;
    if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
}

void ThreadPool::run_tasks(int thread) {
    try {
        for (int64_t task = next_task_++; task < n_tasks_; task = next_task_++) {
            (*body_)(task, thread);
        }
    } catch (...) {
        const std::lock_guard lock(mutex_);
        if (!error_) error_ = std::current_exception();
        next_task_ = n_tasks_;
    }
}

void ThreadPool::worker_loop(int thread) {
    uint64_t seen = 0;
    while (true) {
        for (int spin = 0; spin < kSpins && generation_ == seen; ++spin) cpu_relax();
        if (generation_ == seen) {
            std::unique_lock lock(mutex_);
            wake_.wait(lock, [&] { return generation_ != seen; });
        }
        seen = generation_;
        if (stop_) return;
        run_tasks(thread);
        n_running_.fetch_sub(1, std::memory_order_release);
    }
}

int physical_cores() {
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
    std::set<std::string> cores;
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
        if (!CPU_ISSET(cpu, &set)) continue;
        const std::string topology =
            "/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/";
        std::string package = "?", core = std::to_string(cpu);
        std::ifstream(topology + "physical_package_id") >> package;
        std::ifstream(topology + "core_id") >> core;
        cores.insert(package + ":" + core);
    }
    return std::max<int>(1, static_cast<int>(cores.size()));
}

}  // namespace quarot
