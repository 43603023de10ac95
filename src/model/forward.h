// The whole network: one step for prefill and decode, over any backend.
#pragma once

#include <vector>

#include "comm/comm.h"
#include "kernels/ops.h"
#include "model/batch.h"
#include "model/step_memory.h"
#include "model/weights.h"

namespace quarot::model {

// Enqueues all layers over the tokens of `batch`, a view into `memory`: their K and V go into `kv`,
// the normalised hidden states of the wanted rows into memory.hidden. Allocates nothing and waits
// for nothing, so that Backend::record can keep it.
void enqueue_step(const Weights& weights, const kernels::BatchView& batch, StepMemory& memory,
                  kernels::KvStore& kv, kernels::Backend& backend, comm::Comm& comm);

// Enqueues logits = hidden lm_head^T, scaled and capped as the config says, of the wanted rows
// [first, first + n), fp32 [n, vocab], and
// returns them, in memory.logits until the next call; n at most memory.size().logit_rows.
kernels::Rows enqueue_logits(const Weights& weights, StepMemory& memory, int64_t first, int64_t n,
                             kernels::Backend& backend, comm::Comm& comm);

// A sequence of a batch in which a NaN or Inf arose, and the lowest site where one did.
struct SequenceFailure {
    int64_t sequence = 0;
    kernels::Site site = 0;
};

// Waits for a step of `batch` and says which of its sequences failed, in order. Rows of the others
// are right: no operation mixes sequences.
std::vector<SequenceFailure> finish_step(const Batch& batch, StepMemory& memory);

}  // namespace quarot::model
