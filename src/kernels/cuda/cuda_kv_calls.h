// Operations of the contract on keys and values as the calls that kernels take.
#pragma once

#include <cstdint>

#include "kernels/cuda/attention.h"
#include "kernels/cuda/kv_append.h"
#include "kernels/cuda/rotation.h"
#include "kernels/ops.h"

namespace quarot::kernels::cuda {

// transform: of both sides' heads; null: none. In place, nothing is stored.
AppendCall append_call(const RopeArgs& args, const Rotation* transform);
// Stored as they are.
AppendCall append_call(const AppendKvArgs& args);
// Both.
AppendCall append_call(const RopeTransformAppendArgs& args, const Rotation* transform);

// pages: that a sequence has at most; 0: all of the store's. Without workspace.
AttentionCall attention_call(const AttentionArgs& args, int64_t pages);

// Of the size of the largest step, for attention_workspace_bytes.
AttentionCall largest_attention_call(const StepLimits& limits);

}  // namespace quarot::kernels::cuda
