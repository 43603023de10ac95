// Everything a step touches, in places that are fixed when the memory is made.
#pragma once

#include <span>
#include <vector>

#include "kernels/ops.h"
#include "model/batch.h"
#include "model/weights.h"

namespace quarot::model {

// The most that one step takes.
struct StepSize {
    int64_t tokens = 1;
    int64_t sequences = 1;
    int64_t pages = 1;       // of one sequence
    int64_t logit_rows = 1;  // whose logits are in memory at once
};

// What a step is made for: the counts of its batch, or those of a bucket that batches are padded
// to.
struct StepCounts {
    int64_t tokens = 0;
    int64_t sequences = 0;
    int64_t logit_rows = 0;
};
StepCounts counts_of(const Batch& batch);

// The integers of a batch and of what a step finds, in one block.
struct StepArrays {
    // Written by the host.
    int32_t* token_ids;
    int32_t* positions;
    int32_t* sequence_of_token;
    int32_t* first_token;
    int32_t* context_lengths;
    int32_t* first_page;
    int32_t* seats;
    int32_t* logit_rows;
    int32_t* targets;  // of the logits in memory, where log-probabilities are wanted
    // Reset by the host, written by the step: notes of tokens and of logit rows.
    kernels::Site* bad_sites;
    kernels::Site* bad_logits;
    int32_t* top_ids;  // the likeliest tokens of the logits in memory, where they are wanted
    // The only array whose used part is copied alone.
    int32_t* pages;
};

// What operations noted: for each token and each logit row the lowest site with a NaN or Inf; and
// what they wrote to StepArrays::top_ids, [StepSize::logit_rows].
struct StepNotes {
    std::span<const kernels::Site> tokens, logits;
    std::span<const int32_t> top_ids;
};

// One step at a time; used by one thread. Room r of `tokens` rows is used by a step of n tokens as
// r.slice(0, n), so an address depends on the counts of a step alone.
class StepMemory {
  public:
    // Takes all of it at once, the backend's scratch for such steps included. Error{OutOfMemory}.
    // `weights` says shapes and formats only and need not have its layers yet.
    StepMemory(const Weights& weights, const StepSize& size, kernels::Backend& backend);

    const StepSize& size() const { return size_; }
    // Makes the angles of its positions; puts the batch into its place, padded to `counts`, with
    // nothing noted. The view's counts are `counts`; it is valid until the next call, and the same
    // for all batches of these counts.
    kernels::BatchView upload(const Batch& batch, const StepCounts& counts);
    kernels::BatchView upload(const Batch& batch) { return upload(batch, counts_of(batch)); }

    // `values` of the step's tokens themselves where the format has 16 bits, else their quantized
    // form, still to be made, in `room`: one of those below.
    kernels::Operand operand(const kernels::Rows& values, const kernels::ActivationFormat& format,
                             void* room) const;

    // Waits for all that was enqueued. Notes change with the next wait or upload.
    StepNotes wait();
    StepNotes notes() const;  // as the last wait found them

    kernels::Rows residual, partial, normed;      // [tokens, hidden]
    kernels::Rows query, attended;                // [tokens, q_dim]
    kernels::Rows key, value;                     // [tokens, kv_dim]
    kernels::Rows gate, up;                       // [tokens, ffn]
    kernels::Rows main_columns, outlier_columns;  // of sites whose columns are kept apart
    // Of mixtures, with tokens_of_experts = tokens * top_k.
    kernels::Rows router_logits;                   // [tokens, n_experts]
    kernels::Rows expert_rows;                     // [tokens_of_experts, hidden]: what goes in, out
    kernels::Rows expert_gate, expert_up;          // [tokens_of_experts, the experts' ffn]
    kernels::Rows wanted, wanted_partial, hidden;  // [tokens, hidden]: of the logit rows
    std::vector<kernels::Rows> block_partials;     // [tokens, hidden]: see LayerSteps::sum_blocks
    kernels::Rows logit_part;                      // of a rank with some of the vocabulary
    kernels::Rows logits;                          // [logit_rows, vocab]
    // [logit_rows]: what looks at the logits in memory write.
    double* scores = nullptr;  // log-probabilities or divergences
    float* top_values = nullptr;
    StepArrays device{};

    // Room for the quantized inputs of linears: of all columns or the main ones, and of outliers.
    void* codes = nullptr;
    void* outlier_codes = nullptr;
    void* expert_codes = nullptr;  // of tokens_of_experts rows
    void* routing = nullptr;       // kernels::Routing

  private:
    void* take(int64_t bytes);
    kernels::Rows rows(int64_t n, int64_t cols, DType dtype);
    void take_activations(const Weights& weights);
    void take_columns_kept_apart(const Weights& weights);
    void take_experts(const Weights& weights);

    kernels::Backend& backend_;
    std::span<const std::unique_ptr<RopeTables>> ropes_;  // the weights'
    StepSize size_;
    std::vector<kernels::Buffer> buffers_;
    kernels::Buffer host_block_;
    StepArrays host_{};
    StepCounts counts_;  // of the last upload
};

}  // namespace quarot::model
