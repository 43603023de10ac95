// A fixed set of threads that share numbered tasks.
//
// Tasks are claimed in order from one counter, so which thread runs a task is not fixed; results
// are the same for any number of threads as long as every task writes only its own output.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace quarot {

class ThreadPool {
  public:
    // n_threads >= 1; the calling thread is one of them. Error{OutOfMemory} if the system gives
    // fewer.
    explicit ThreadPool(int n_threads);
    // For tests: a worker that woke calls on_wake between its looks at the pool, where another
    // thread may come between.
    ThreadPool(int n_threads, std::function<void()> on_wake);
    ~ThreadPool();
    ThreadPool(const ThreadPool&) = delete;
    ThreadPool& operator=(const ThreadPool&) = delete;

    int size() const { return static_cast<int>(workers_.size()) + 1; }

    // Runs body(task, thread) for task in [0, n_tasks), thread in [0, size()); returns when all
    // are done. Call from one thread at a time, not from inside a task. The first exception of a
    // task is rethrown here after the others have stopped.
    void parallel_for(int64_t n_tasks, const std::function<void(int64_t, int)>& body);

  private:
    void stop_workers();
    void worker_loop(int thread);
    void run_tasks(uint32_t job, int thread);
    void wait_for_job(uint32_t seen);
    void report(std::exception_ptr error);

    // A job's number in the high half, its next unclaimed task in the low half. Claiming a task is
    // one compare-and-swap, which fails as soon as the job is over, so a worker that comes late
    // takes nothing and nobody waits for it.
    std::atomic<uint64_t> ticket_{kClosed};
    std::atomic<const std::function<void(int64_t, int)>*> body_{nullptr};
    std::atomic<uint32_t> n_tasks_{0};
    std::atomic<uint32_t> n_done_{0};
    std::atomic<bool> failed_{false};  // tasks not yet started are skipped
    std::atomic<bool> stop_{false};
    std::atomic<int> n_sleeping_{0};
    std::mutex mutex_;  // guards sleeping and error_
    std::condition_variable wake_;
    std::exception_ptr error_;
    const std::function<void()> on_wake_;
    std::vector<std::thread> workers_;

    static constexpr uint64_t kClosed = 0xffffffffu;  // the low half of a job without open tasks
};

// Physical cores that this process may use, at least 1: the smaller of its affinity and the whole
// cores in the quota of its control groups. Files are read below `root`.
int physical_cores(const std::string& root = "");

}  // namespace quarot
