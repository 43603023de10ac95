// A layer that waits in the work folder, held against what the job is to write.
#pragma once

#include <vector>

#include "quantize/job/work_folder.h"
#include "quantize/layer_quantizer.h"

namespace quarot::quantize {

// Digests tell damage, not what somebody else put there: Error{Corrupt} naming the tensor unless
// the layer has the tensors of its quantized linears and no others, in shape and dtype of the plan.
std::vector<NamedTensor> read_finished_layer(const QuantizeContext& context, const WorkFolder& work,
                                             int64_t layer);

}  // namespace quarot::quantize
