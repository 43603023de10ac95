// The experts of a mixture on the calibration text, one after another: each as the MLP of a layer
// that the tokens routed to it pass.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "comm/comm.h"
#include "kernels/ops.h"
#include "model/layer_steps.h"
#include "model/weights.h"

namespace quarot::quantize {

// Which tokens an expert is looked at on.
enum class ExpertTokens { Routed, All };

// A layer goes: set the norm and the router, begin; for each expert in order: look at the inputs of
// gate and up, set these, look at those of down_proj, set it, add; finish. Weights of one expert
// are held at a time, and what all tokens got from the experts so far, [n_tokens, hidden] fp32, on
// the host. Used by one thread.
class ExpertCalibration {
  public:
    // weights: of one layer with a dense MLP as wide as an expert. Tokens pass in pieces of
    // weights.n_positions, which are also the tokens of a window. kv is not used; it, the backend
    // and comm must outlive this.
    ExpertCalibration(model::Weights weights, const model::Mixture& mixture, kernels::KvStore& kv,
                      kernels::Backend& backend, comm::Comm& comm);

    void set_norm(const std::vector<float>& gain, const std::vector<float>& bias);
    void set_router(kernels::LinearWeights weights);
    void set_linear(model::LinearRole role, kernels::LinearWeights weights);

    // Routes all tokens by the residual stream [n_tokens, hidden] as it is before the mixture; it
    // must stay so until finish. layer: for messages.
    void begin(const kernels::Rows& residual, int64_t layer);
    bool has_begun() const { return has_begun_; }
    int64_t n_tokens(int64_t expert, ExpertTokens which) const;
    // Calls visit with what the linears of a site of the expert read, piece by piece, each valid
    // until it returns. Error{Numeric} naming layer and site if a NaN or Inf arises.
    using Visit = std::function<void(const kernels::Operand&)>;
    void for_inputs(model::InputSite site, int64_t expert, ExpertTokens which, const Visit& visit);
    // What the expert gives the tokens routed to it, weighted; drops its linears. Experts come in
    // order, so that sums are those of Backend::combine_experts.
    void add(int64_t expert);
    // residual += what the experts gave; drops norm and router.
    void finish(const kernels::Rows& residual);

  private:
    struct Routed {
        std::vector<int32_t> tokens;
        std::vector<float> weights;
    };

    // run(steps, residual, tokens) for pieces of the tokens.
    template <typename Run>
    void for_pieces(std::span<const int32_t> tokens, const Run& run);
    void route(model::Residual& residual, std::span<const int32_t> tokens);
    void check_finite();
    std::span<const int32_t> tokens_of(int64_t expert, ExpertTokens which) const;

    model::Weights weights_;
    model::Mixture mixture_;
    kernels::KvStore& kv_;
    kernels::Backend& backend_;
    comm::Comm& comm_;
    model::StepMemory memory_;
    kernels::Buffer indices_, logits_memory_, routing_memory_;
    kernels::Rows residual_;
    std::vector<int32_t> all_tokens_;
    std::vector<Routed> routed_;  // by expert
    std::vector<float> sums_;     // [n_tokens, hidden]
    int64_t layer_ = 0;
    bool has_begun_ = false;
};

}  // namespace quarot::quantize
