// Windows of a text on their way through a model, with a look at the activations of its layers.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "comm/comm.h"
#include "model/layer_steps.h"
#include "stats/point.h"

namespace quarot::stats {

// The activations of one window at one point, on the host, valid during a look.
struct Look {
    int64_t layer = 0;
    Point point = Point::AttentionIn;
    std::span<const float> read;  // [n_tokens, width]: what linears read, or the cache holds
    // The same before a norm's gain; `read` where there is no norm.
    std::span<const float> ungained;
};

// Holds one window's activations and cache, none of the text's. Used by one thread; weights and
// backend must outlive it.
class WindowWalk {
  public:
    // Nothing of the weights' recipe may quantize activations or cache. Windows have at most
    // weights.n_positions tokens.
    WindowWalk(const model::Weights& weights, kernels::Backend& backend, Selection selection);

    // One sequence from an empty cache, up to the last layer wanted. Error{Numeric} naming layer
    // and place for a NaN or Inf.
    void run(std::span<const int32_t> ids, const std::function<void(const Look&)>& look);

  private:
    void run_mlp_input(int64_t layer, model::LayerSteps& steps, model::Residual& residual);
    void run_layer(int64_t layer, model::LayerSteps& steps, model::Residual& residual);
    // Of a norm's output, and of the residual stream that it normalised.
    void look_at_norm(int64_t layer, Point point, const model::SiteInput& in,
                      const model::Residual& residual);
    void look_at(int64_t layer, Point point, const model::SiteInput& in);
    void look_at_cache(int64_t layer, Point point, kernels::KvKind kind);
    std::vector<float> download(const kernels::Rows& rows);
    void check_finite(const model::Batch& batch);

    const model::Weights& weights_;
    kernels::Backend& backend_;
    const Selection selection_;
    std::unique_ptr<comm::Comm> comm_;  // of a group of one
    std::unique_ptr<kernels::KvStore> kv_;
    model::StepMemory memory_;
    kernels::Buffer ungained_memory_;
    kernels::Rows ungained_;  // [n_positions, hidden]
    int64_t n_tokens_ = 0;    // of the window that runs
    const std::function<void(const Look&)>* look_ = nullptr;
};

}  // namespace quarot::stats
