// What of a rotation the calibration text says, by how large inputs are in which directions.
#pragma once

#include "core/thread_pool.h"
#include "folder/source_model.h"
#include "kernels/ops.h"
#include "quantize/calibration/calibration_windows.h"
#include "rotate/rotation.h"

namespace quarot::quantize {

// Gives `rotation`, made for this recipe, what it lacks, by one pass of the windows through the
// model in full precision (docs/quarot.md 2). R1 aligned: from the second moment of what q, k, v
// and gate, up read, norm gains left out, summed over all layers, with as many directions as a
// vector has groups. R2 aligned: of each layer and KV head, from the second moment of what
// attention gives in its query heads, with one direction. Scales of up: from the mean squares of
// what down reads. The same bits for any number of threads.
void find_rotation(const folder::SourceModel& source, const Recipe& recipe,
                   const TokenWindows& windows, ThreadPool& pool, kernels::Backend& backend,
                   rotate::Rotation& rotation);

}  // namespace quarot::quantize
