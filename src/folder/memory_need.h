// The memory that a model takes on a backend.
#pragma once

#include <cstdint>

#include "core/host_memory.h"
#include "folder/source_model.h"
#include "kernels/ops.h"
#include "model/shard.h"

namespace quarot::folder {

// Of one rank: its part of the weights as a backend holds them, tables of RoPE left out. recipe:
// the source's with the run's changes.
int64_t weight_bytes(const SourceModel& source, const Recipe& recipe, const model::Shard& shard,
                     const kernels::Backend& backend);

// The same, and the cache of one sequence of n_positions. check_shard must have accepted the shard.
MemoryNeed memory_need(const SourceModel& source, const Recipe& recipe, int64_t n_positions,
                       const model::Shard& shard, const kernels::Backend& backend);

}  // namespace quarot::folder
