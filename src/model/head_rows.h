// In which order the rows of a head go to a backend: its pairs are (i, i + head_dim / 2), those of
// stored weights lie as the family has them.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/ops.h"
#include "model/config.h"
#include "model/linear_role.h"

namespace quarot::model {

// The stored row of each row of a head: the pairs that turn first, then those that do not. Empty
// where both orders are one. Scores do not change, since q and k are ordered alike.
std::vector<int32_t> head_row_order(const RopeConfig& rope, int64_t head_dim);

// Puts rows and bias of q and k, of whole heads, into that order; other roles are left alone. All
// tables of a model turn by one order.
void order_head_rows(LinearRole role, const ModelConfig& config, kernels::LinearWeights& weights);
// The gain of a norm of q or k, of a head or of several; those of others are left alone.
void order_head_gain(NormRole role, const ModelConfig& config, std::vector<float>& gain);

}  // namespace quarot::model
