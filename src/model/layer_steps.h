// One decoder layer in parts, each from one place where linears read to the next, so that the
// forward pass and calibration run the same operations.
#pragma once

#include <optional>
#include <vector>

#include "comm/comm.h"
#include "kernels/ops.h"
#include "model/batch.h"
#include "model/weights.h"

namespace quarot::model {

// Scratch of a pass, grown to the largest batch seen and then reused: a step of a size seen before
// allocates no backend memory.
class ForwardState {
  public:
    // Slots below belong to LayerSteps and upload_batch.
    static constexpr size_t kFirstFreeSlot = 11;

    explicit ForwardState(kernels::Backend& backend) : backend_(backend) {}

    // At least `bytes` of backend memory under this name; contents are lost when it grows.
    void* reserve(size_t slot, int64_t bytes);
    // The same as rows of activations, aligned.
    kernels::Rows rows(size_t slot, int64_t n, int64_t cols);

  private:
    kernels::Backend& backend_;
    std::vector<kernels::Buffer> buffers_;
};

// The batch's arrays one behind the other in backend memory, valid until the next call.
kernels::BatchView upload_batch(const Batch& batch, kernels::Backend& backend, ForwardState& state);

kernels::RmsNormArgs norm_args(const Weights& weights, kernels::Rows in, const Gain& gain,
                               kernels::Rows out);

// What the linears of a site read: all columns, or of a recipe that keeps some apart two parts.
struct SiteInput {
    kernels::Operand main;
    std::optional<kernels::Operand> outliers;
};

// What is returned stands in the state until the next call that returns something. `residual`:
// [n_tokens, hidden].
class LayerSteps {
  public:
    LayerSteps(const Weights& weights, const kernels::BatchView& batch, kernels::KvStore& kv,
               kernels::Backend& backend, comm::Comm& comm, ForwardState& state)
        : weights_(weights),
          batch_(batch),
          kv_(kv),
          backend_(backend),
          comm_(comm),
          state_(state) {}

    // What q, k and v read: norm(residual), quantized if the recipe says so, as all that follow.
    SiteInput attention_input(int64_t layer, kernels::Rows residual);
    // q, k, v, RoPE, the cache and attention: out [n_tokens, n_heads * head_dim].
    void attention(int64_t layer, const SiteInput& in, kernels::Rows out);
    // What o_proj reads: the head mix of `attended`, which is overwritten.
    SiteInput output_input(int64_t layer, kernels::Rows attended);
    // What gate and up read.
    SiteInput mlp_input(int64_t layer, kernels::Rows residual);
    // What down_proj reads: R4 of silu(gate(in)) * up(in).
    SiteInput down_input(int64_t layer, const SiteInput& in);
    // The same from values that stand there already, not quantized unless some are kept apart.
    SiteInput input_of(int64_t layer, InputSite site, kernels::Rows values);
    // residual += W in, for O and Down.
    void add_linear(int64_t layer, LinearRole role, const SiteInput& in, kernels::Rows residual);

    // Error{Numeric} naming layer and place if a NaN or Inf arose since the last call; layers count
    // from first_layer.
    void check_finite(int64_t first_layer = 0);

  private:
    const LayerWeights& layer_weights(int64_t layer) const;
    SiteInput norm(const ColumnSplit& split, kernels::Rows residual, const Gain& gain,
                   LinearRole role, kernels::Site site);
    // `values`, which may be overwritten, through the transform.
    SiteInput transformed(const ColumnSplit& split, const kernels::Transform* transform,
                          kernels::Rows values, LinearRole role, kernels::Site site);
    SiteInput split_input(const ColumnSplit& split, kernels::Rows values, LinearRole role,
                          kernels::Site site);
    // out += those of the outliers, if any.
    void add_outliers(int64_t layer, LinearRole role, const SiteInput& in, kernels::Rows out);
    // What the linear of `role` reads: `values` itself, or room for its quantized form.
    kernels::Operand operand(kernels::Rows values, LinearRole role);
    kernels::Operand operand(kernels::Rows values, const kernels::ActivationFormat& format,
                             size_t slot);

    const Weights& weights_;
    const kernels::BatchView& batch_;
    kernels::KvStore& kv_;
    kernels::Backend& backend_;
    comm::Comm& comm_;
    ForwardState& state_;
};

}  // namespace quarot::model
