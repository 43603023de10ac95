// A layer that waits in the work folder, held against what the job is to write.
#pragma once

#include <vector>

#include "io/safetensors.h"
#include "quantize/job/work_folder.h"
#include "quantize/layer_quantizer.h"

namespace quarot::quantize {

// What the job has in place of a layer's quantized weights; biases are written apart.
std::vector<io::PlannedTensor> planned_layer(const QuantizeContext& context, int64_t layer);

class FinishedLayer {
  public:
    // Digests tell damage, not what somebody else put there: Error{Corrupt} naming the tensor
    // unless the layer has the tensors that are planned and no others, in shape and dtype of the
    // plan. The context must outlive it.
    FinishedLayer(const QuantizeContext& context, const WorkFolder& work, int64_t layer);

    // Those of one quantized linear.
    std::vector<NamedTensor> tensors_of(const model::LinearId& id) const;

  private:
    const QuantizeContext& context_;
    io::SafetensorsFile file_;
};

}  // namespace quarot::quantize
