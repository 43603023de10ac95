// The whole network: one forward for prefill and decode, over any backend.
#pragma once

#include "comm/comm.h"
#include "kernels/ops.h"
#include "model/batch.h"
#include "model/layer_steps.h"
#include "model/weights.h"

namespace quarot::model {

// Runs all tokens of `batch`, appends their K and V to `kv`, and returns the normalised hidden
// states of batch.logit_rows, [n_logit_rows, hidden], standing in `state` until the next call.
// Error{Numeric} naming layer and place if a NaN or Inf arises.
kernels::Rows forward(const Weights& weights, const Batch& batch, kernels::KvStore& kv,
                      kernels::Backend& backend, comm::Comm& comm, ForwardState& state);

// logits = hidden lm_head^T, fp32 [n, vocab], into host memory; n = hidden.rows. Meant for slices,
// so that no batch needs n_tokens x vocab at once.
void compute_logits(const Weights& weights, kernels::Rows hidden, kernels::Backend& backend,
                    ForwardState& state, float* host_logits);

}  // namespace quarot::model
