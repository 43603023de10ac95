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
    static constexpr size_t kFirstFreeSlot = 14;

    explicit ForwardState(kernels::Backend& backend) : backend_(backend) {}

    // At least `bytes` of backend memory under this name; contents are lost when it grows.
    void* reserve(size_t slot, int64_t bytes);
    // The same as rows, aligned.
    kernels::Rows rows(size_t slot, int64_t n, int64_t cols, DType dtype);
    // Of activations that are not quantized.
    kernels::Rows rows(size_t slot, int64_t n, int64_t cols) {
        return rows(slot, n, cols, backend_.traits().work);
    }

  private:
    kernels::Backend& backend_;
    std::vector<kernels::Buffer> buffers_;
};

// The residual stream, and what the next norm is still to add to it.
struct Residual {
    kernels::Rows values;                  // [n_tokens, hidden]
    std::optional<kernels::Rows> partial;  // the same shape, F32
};

// The batch's arrays one behind the other in backend memory, valid until the next call.
kernels::BatchView upload_batch(const Batch& batch, kernels::Backend& backend, ForwardState& state);

// What the linears of a site read: all columns, or of a recipe that keeps some apart two parts.
struct SiteInput {
    kernels::Operand main;
    std::optional<kernels::Operand> outliers;
};

// Results live in the state until the next call that returns something. Norms first add the
// residual's partial sum, if there is one.
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
    SiteInput attention_input(int64_t layer, Residual& residual);
    // q, k, v, RoPE, the cache and attention: out [n_tokens, n_heads * head_dim].
    void attention(int64_t layer, const SiteInput& in, kernels::Rows out);
    // What o_proj reads: the head mix of `attended`, which is overwritten.
    SiteInput output_input(int64_t layer, kernels::Rows attended);
    // What gate and up read.
    SiteInput mlp_input(int64_t layer, Residual& residual);
    // What down_proj reads: R4 of silu(gate(in)) * up(in).
    SiteInput down_input(int64_t layer, const SiteInput& in);
    // The same from values that stand there already, not quantized unless some are kept apart.
    SiteInput input_of(int64_t layer, InputSite site, kernels::Rows values);
    // The residual's partial sum becomes W in, for O and Down.
    void add_linear(int64_t layer, LinearRole role, const SiteInput& in, Residual& residual);
    // Adds the partial sum now.
    void settle(Residual& residual);
    // The norm before the head of the rows whose logits are wanted, [n_logit_rows, hidden].
    kernels::Rows final_hidden(Residual& residual);

    // Error{Numeric} naming layer and place if a NaN or Inf arose since the last call; layers count
    // from first_layer.
    void check_finite(int64_t first_layer = 0);

  private:
    const LayerWeights& layer_weights(int64_t layer) const;
    kernels::SiteNote note_at(kernels::Site site) const { return {site, batch_.bad_sites}; }
    SiteInput norm(const ColumnSplit& split, Residual& residual, const Gain& gain, LinearRole role,
                   kernels::SiteNote note);
    // RMSNorm of the residual, its partial sum added, into `out`.
    void add_norm(Residual& residual, const Gain& gain, kernels::Rows normed,
                  const kernels::Operand& out, kernels::SiteNote note);
    // `values`, which may be overwritten, through the transform.
    SiteInput transformed(const ColumnSplit& split, const kernels::Transform* transform,
                          kernels::Rows values, LinearRole role, kernels::SiteNote note);
    SiteInput split_input(const ColumnSplit& split, kernels::Rows values, LinearRole role,
                          kernels::SiteNote note);
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
