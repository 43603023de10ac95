// From a model folder to weights on a backend.
#pragma once

#include <cstdint>
#include <optional>

#include "folder/source_model.h"
#include "kernels/ops.h"
#include "model/weights.h"

namespace quarot::folder {

// Run-time changes of what is quantized besides weights (flags of perplexity, generate, logits).
struct ActivationOverrides {
    std::optional<int> a_bits, k_bits, v_bits;
    std::optional<float> a_clip, k_clip, v_clip;
    std::optional<KeyBiasUse> k_bias;
};

// Reads the whole model, or one rank's part of it, into the backend. n_positions: the longest
// context that will be used, at most config.max_positions. Progress on stderr. Error{Unsupported}
// for a recipe that was not made for so many ranks.
model::Weights load_weights(const SourceModel& source, const ActivationOverrides& overrides,
                            int64_t n_positions, kernels::Backend& backend,
                            const model::Shard& shard = {});

// The most positions up to `wanted`, or whole pages of them, for which weights and the cache of one
// sequence fit what the backend has available, with some room left; 0 if none do. `wanted` where
// nothing is known.
int64_t fitting_positions(const SourceModel& source, const ActivationOverrides& overrides,
                          int64_t wanted, const kernels::Backend& backend,
                          const model::Shard& shard = {});

}  // namespace quarot::folder
