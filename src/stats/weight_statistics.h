// The weights of a model's layers: as they are stored, and as a recipe's rotation makes them.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "core/thread_pool.h"
#include "folder/source_model.h"
#include "stats/activation_statistics.h"
#include "stats/statistics.h"

namespace quarot::stats {

struct WeightReport {
    model::LinearId id;
    int64_t n_rows = 0, n_channels = 0;  // outputs, inputs
    int bits = 16;
    std::optional<Summary> before, after;
};

// By layer, in the order of its linears. Rows of the summary are outputs, channels inputs. What is
// quantized is rounded to nearest in the recipe's format of weights, whatever its method: the error
// of GPTQ is one of outputs, not of weights. rotation: rotation_of() source and recipe, or null.
// The same for any number of threads.
// Error{Unsupported} for weights that are stored as codes.
std::vector<WeightReport> measure_weights(const folder::SourceModel& source,
                                          const std::vector<int64_t>& layers, const Recipe& recipe,
                                          const rotate::Rotation* rotation, ThreadPool& pool);

}  // namespace quarot::stats
