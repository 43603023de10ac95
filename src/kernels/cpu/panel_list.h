// How is the work of one operand times several weights cut into tasks? In runs of their panels.
#pragma once

#include <algorithm>
#include <span>

#include "kernels/cpu/cpu_context.h"
#include "kernels/cpu/cpu_linear.h"

namespace quarot::kernels::cpu {

// The panels of several weights, counted through.
class PanelList {
  public:
    PanelList(std::span<const Linear* const> weights, std::span<const Rows> outs)
        : weights_(weights), outs_(outs) {
        for (const Linear* weight : weights) {
            total_ += as_cpu(*weight).n_panels();
            bytes_ += as_cpu(*weight).n_panels() * as_cpu(*weight).panel_bytes();
            largest_code_ = std::max(largest_code_, as_cpu(*weight).largest_code());
        }
    }
    int64_t size() const { return total_; }
    int64_t bytes() const { return bytes_; }
    int64_t largest_code() const { return largest_code_; }
    const CpuLinear& front() const { return as_cpu(*weights_.front()); }

    // run(weight, out, first, count) for the panels [first, last), a call per weight.
    template <typename Run>
    void visit(int64_t first, int64_t last, const Run& run) const {
        int64_t start = 0;
        for (size_t i = 0; i < weights_.size(); ++i) {
            const CpuLinear& weight = as_cpu(*weights_[i]);
            const int64_t from = std::max(first, start) - start;
            const int64_t to = std::min(last - start, weight.n_panels());
            if (from < to) run(weight, outs_[i], from, to - from);
            start += weight.n_panels();
        }
    }

  private:
    std::span<const Linear* const> weights_;
    std::span<const Rows> outs_;
    int64_t total_ = 0, bytes_ = 0, largest_code_ = 0;
};

// Contiguous runs of panels: one a thread for little work, more where threads may differ.
inline int64_t panel_runs(const CpuContext& context, const PanelList& panels) {
    constexpr int64_t kRunBytes = int64_t{256} << 10;
    const int64_t n_threads = context.pool.size();
    const int64_t runs = std::clamp(panels.bytes() / kRunBytes, n_threads, 8 * n_threads);
    return std::min(panels.size(), round_up(runs, n_threads));
}

// Tiles of packed activations that stay in L2 while all panels pass.
inline int64_t tiles_at_once(int64_t tile_bytes, int64_t tile_tokens, int64_t n_rows) {
    constexpr int64_t kChunkBytes = int64_t{640} << 10;
    return std::min(std::max(int64_t{1}, kChunkBytes / tile_bytes), ceil_div(n_rows, tile_tokens));
}

// Runs for rows that were packed into n_tiles tiles.
inline int64_t panel_runs_over_tiles(const CpuContext& context, const PanelList& panels,
                                     int64_t n_tiles) {
    constexpr int64_t kTilesForSinglePanels = 8;
    return n_tiles >= kTilesForSinglePanels ? panels.size() : panel_runs(context, panels);
}

// run(thread, weight, out, first, count) for all panels, shared out among the threads.
template <typename Run>
void visit_in_parallel(CpuContext& context, const PanelList& panels, int64_t n_runs,
                       const Run& run) {
    context.parallel(n_runs, [&](int64_t task, int thread) {
        panels.visit(task * panels.size() / n_runs, (task + 1) * panels.size() / n_runs,
                     [&](const CpuLinear& weight, const Rows& out, int64_t first, int64_t count) {
                         run(thread, weight, out, first, count);
                     });
    });
}

}  // namespace quarot::kernels::cpu
