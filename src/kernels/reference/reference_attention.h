// What the KV cache and attention mean: K and V go into pages as codes, and attention sees only
// what comes back out of them.
#pragma once

#include "core/thread_pool.h"
#include "kernels/ops.h"

namespace quarot::kernels {

void reference_append_kv(ThreadPool& pool, const AppendKvArgs& args);
void reference_attention(ThreadPool& pool, const AttentionArgs& args);

}  // namespace quarot::kernels
