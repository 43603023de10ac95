// What every operation of the cpu backend works with: kernels, threads, scratch.
#pragma once

#include <algorithm>
#include <functional>
#include <vector>

#include "core/checked_math.h"
#include "core/thread_pool.h"
#include "kernels/cpu/cpu_memory.h"
#include "kernels/cpu/isa_kernels.h"

namespace quarot::kernels::cpu {

struct CpuContext {
    CpuContext(const IsaKernels& kernels, int n_threads)
        : isa(kernels), pool(n_threads), per_thread(static_cast<size_t>(pool.size())) {}

    // body(task, thread); by reference, so that nothing is allocated.
    template <typename Body>
    void parallel(int64_t n_tasks, Body&& body) {
        pool.parallel_for(n_tasks, std::ref(body));
    }
    // body(row, thread) for every row, a few rows a task.
    template <typename Body>
    void for_rows(int64_t n_rows, Body&& body) {
        constexpr int64_t kRowsPerTask = 4;
        parallel(ceil_div(n_rows, kRowsPerTask), [&](int64_t task, int thread) {
            const int64_t end = std::min(n_rows, (task + 1) * kRowsPerTask);
            for (int64_t row = task * kRowsPerTask; row < end; ++row) body(row, thread);
        });
    }
    Scratch& scratch(int thread) { return per_thread[static_cast<size_t>(thread)]; }

    const IsaKernels& isa;
    ThreadPool pool;
    std::vector<Scratch> per_thread;  // owned by the thread while a job runs
    Scratch shared;                   // owned by the calling thread
    Scratch segments;                 // as shared, for where sums end
};

}  // namespace quarot::kernels::cpu
