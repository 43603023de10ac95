// How one weight reaches the file: made block by block on all threads, written in order.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/thread_pool.h"
#include "quantize/job/layer_file.h"
#include "quantize/output_plan.h"
#include "quantize/rotated_weight.h"
#include "quantize/shard_writer.h"

namespace quarot::quantize {

// Only a few blocks are in memory at a time, and what they hold depends on the weight's shape
// alone, so the bytes are the same for any number of threads. Used by one thread.
class WeightWriter {
  public:
    // All must outlive it.
    WeightWriter(const OutputPlan& plan, ShardWriter& shards, ThreadPool& pool)
        : plan_(plan), shards_(shards), pool_(pool) {}

    // Norms and biases. Here and below: in the dtype of the plan, Error{Numeric} if a value is more
    // than it holds.
    void vector(const std::string& name, std::span<const float> values);
    void dense(const RotatedWeight& weight);
    // Those of the tensors that belong to a quantized linear; `linear`: the name without ".weight".
    void quantized(const std::string& linear, const std::vector<NamedTensor>& tensors);

  private:
    const OutputPlan& plan_;
    ShardWriter& shards_;
    ThreadPool& pool_;
};

}  // namespace quarot::quantize
