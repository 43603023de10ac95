// Mixtures of experts for backends in host memory: the rows and loops they share.
#pragma once

#include <cstdint>

#include "kernels/ops.h"

namespace quarot::kernels {

// Error: our bug, where shapes contradict each other.
void check_route(const RouteArgs& args);
void check_combine(const CombineArgs& args);
void check_gather_codes(const QuantizedRows& in, const QuantizedRows& out);

// One token of RouteArgs: its experts and weights.
void route_token(const RouteArgs& args, int64_t token);
// What is left when all tokens have experts: rows in order of experts, then of tokens.
void group_rows(const Routing& routing);
// One row of Backend::gather_codes.
void gather_codes_row(const QuantizedRows& in, int64_t from, const QuantizedRows& out, int64_t row);
// One token of CombineArgs.
void combine_token(const CombineArgs& args, int64_t token);
// Backend::expert_group by the backend's linear_group over the rows of each expert.
void linear_group_by_expert(Backend& backend, const ExpertGroupArgs& args);

}  // namespace quarot::kernels
