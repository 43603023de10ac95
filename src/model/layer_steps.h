// One decoder layer in parts, each from one place where linears read to the next, so that the
// forward pass and calibration run the same operations.
#pragma once

#include <optional>
#include <span>
#include <string>

#include "comm/comm.h"
#include "kernels/ops.h"
#include "model/mixture_steps.h"
#include "model/split_inputs.h"
#include "model/step_memory.h"
#include "model/weights.h"

namespace quarot::model {

// The site of logits, after all sites of layers.
inline constexpr kernels::Site kLogitSite = kernels::kNoSite - 1;

// Where the router of a layer gives its logits.
kernels::Site router_site(int64_t layer);

// "in layer 3 at the input of o_proj"; layers count from first_layer.
std::string describe(kernels::Site site, int64_t first_layer = 0);

// The residual stream, and what the next norm is still to add to it.
struct Residual {
    kernels::Rows values;                  // [n_tokens, hidden]
    std::optional<kernels::Rows> partial;  // the same shape, F32
    bool is_part = false;                  // partial is still to be summed over ranks
};

// Results live in the step's memory until the next call that returns something. Norms first add the
// residual's partial sum, if there is one. Everything is only enqueued.
class LayerSteps {
  public:
    LayerSteps(const Weights& weights, const kernels::BatchView& batch, kernels::KvStore& kv,
               kernels::Backend& backend, comm::Comm& comm, StepMemory& memory);

    // The tokens' rows of the embedding, as enter() makes them.
    void embed(const Residual& residual);
    // Rows of the embedding become rows of the residual stream.
    void enter(kernels::Rows rows);
    // What q, k and v read: norm(residual), quantized if the recipe says so, as all that follow.
    SiteInput attention_input(int64_t layer, Residual& residual);
    // q, k, v, RoPE, the cache and attention: out [n_tokens, n_heads * head_dim].
    void attention(int64_t layer, const SiteInput& in, kernels::Rows out);
    // What o_proj reads: the head mix of `attended`, which is overwritten. Not quantized yet if
    // o_proj has column blocks, as down_proj's.
    SiteInput output_input(int64_t layer, kernels::Rows attended);
    // What gate and up read; in a mixture grouped by expert, as what down_proj reads.
    SiteInput mlp_input(int64_t layer, Residual& residual);
    // Both, which stand until the next call; of a mixture all that stands before down_proj.
    void gate_and_up(int64_t layer, const SiteInput& in);
    // What down_proj reads: R4 of f(gate) * up, or of f(up).
    SiteInput down_input(int64_t layer);
    // The same from values that stand there already, not quantized unless some are kept apart.
    SiteInput input_of(int64_t layer, InputSite site, kernels::Rows values);
    // The same of one linear, quantized if the recipe says so.
    kernels::Operand quantized(int64_t layer, LinearRole role, kernels::Rows values);
    // The residual's partial sum becomes W in, for O and Down, normalised and scaled as the model
    // does that.
    void add_linear(int64_t layer, LinearRole role, const SiteInput& in, Residual& residual);
    // Adds the partial sum now.
    void settle(Residual& residual);
    // The norm before the head, of the wanted rows into memory.hidden.
    void final_norm(Residual& residual);

  private:
    const LayerWeights& layer_weights(int64_t layer) const;
    kernels::SiteNote note_at(kernels::Site site) const { return {site, batch_.bad_sites}; }
    // q or k, in place; nothing if the model has no such norms.
    void norm_heads(kernels::Rows heads, const NormWeights& norm);
    // What a site's linears read of `values`: make(out, note) puts them there or, quantized, into
    // `out`.
    template <typename Make>
    SiteInput site_input(int64_t layer, InputSite site, const kernels::Rows& values,
                         const Make& make);
    SiteInput norm(int64_t layer, InputSite site, NormRole role, Residual& residual);
    // The norm of `role` of the residual, or the residual itself if the model has no such norm.
    void normalize(int64_t layer, NormRole role, Residual& residual, kernels::Rows out);
    // What a linear gave, as it is added to the residual.
    void shape_output(int64_t layer, LinearRole role, kernels::Rows partial);
    // The norm of the residual, its partial sum added, into `out`.
    void add_norm(Residual& residual, const NormWeights& norm, kernels::Rows normed,
                  const kernels::Operand& out, kernels::SiteNote note);
    // All linears of a site, one of outs for each.
    void linears(int64_t layer, InputSite site, const SiteInput& in,
                 std::span<const kernels::Rows> outs);
    // Column blocks of o or down that follow each other.
    struct Blocks {
        int64_t first, count;
    };
    // out = the sum of the products of the blocks, by a binary tree whose leaves they are; `level`:
    // rooms in use.
    void sum_blocks(int64_t layer, LinearRole role, const kernels::Operand& in,
                    const Blocks& blocks, size_t level, kernels::Rows out);
    // What a block reads of the input of all.
    kernels::Operand block_input(int64_t layer, LinearRole role, const kernels::Operand& in,
                                 int64_t block);
    // As many rows of a room as the batch has tokens.
    kernels::Rows of_batch(const kernels::Rows& room) const {
        return room.slice(0, batch_.n_tokens);
    }

    const Weights& weights_;
    const kernels::BatchView& batch_;
    kernels::KvStore& kv_;
    kernels::Backend& backend_;
    comm::Comm& comm_;
    StepMemory& memory_;
    SplitInputs apart_;
    MixtureSteps mixtures_;
    kernels::Operand mixed_;  // what down_proj reads of a mixture, after gate_and_up
    bool shares_rows_;        // of the residual, with other ranks
};

}  // namespace quarot::model
