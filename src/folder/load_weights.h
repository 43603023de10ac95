// From a model folder to weights on a backend.
#pragma once

#include <cstdint>

#include "folder/source_model.h"
#include "kernels/ops.h"
#include "model/weights.h"
#include "recipe/settings.h"

namespace quarot::folder {

// Reads the whole model, or one rank's part of it, into the backend. n_positions: the longest
// context that will be used, at most config.max_positions. changes: of the folder's recipe, of
// settings that may change when it runs; Error{Usage} for values out of range. Progress on stderr,
// of rank 0 alone.
// Error{Unsupported} for a recipe that was not made for so many ranks.
model::Weights load_weights(const SourceModel& source, const SettingChanges& changes,
                            int64_t n_positions, kernels::Backend& backend,
                            const model::Shard& shard = {});

// Before a group of ranks loads, which takes from each other what load_weights finds available.
// Error{OutOfMemory} unless there is enough for n_ranks such backends; errors of load_weights.
void require_memory_for_ranks(const SourceModel& source, const SettingChanges& changes,
                              int64_t n_positions, const kernels::Backend& backend, int n_ranks);

// The most positions up to `wanted`, or whole pages of them, for which weights and the cache of one
// sequence fit what the backend has available to each rank, with some room left; 0 if none do.
// `wanted` where nothing is known.
int64_t fitting_positions(const SourceModel& source, const SettingChanges& changes, int64_t wanted,
                          const kernels::Backend& backend, const model::Shard& shard = {});

}  // namespace quarot::folder
