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

// The first of the layers' linears that is stored as codes; empty if all are floating point.
std::optional<model::LinearId> first_of_codes(const folder::SourceModel& source,
                                              const std::vector<int64_t>& layers);

// Error{Unsupported} naming first_of_codes(), if there is one.
void require_dense(const folder::SourceModel& source, const std::vector<int64_t>& layers);

// By layer, in the order of its linears. Rows of the summary are outputs, channels inputs. What is
// quantized is rounded to nearest in the recipe's format of weights, whatever its method: the error
// of GPTQ is one of outputs, not of weights. rotation: rotation_of() source and recipe, or null.
// The same for any number of threads.
// Error{Unsupported} as of require_dense().
std::vector<WeightReport> measure_weights(const folder::SourceModel& source,
                                          const std::vector<int64_t>& layers, const Recipe& recipe,
                                          const rotate::Rotation* rotation, ThreadPool& pool);

}  // namespace quarot::stats
