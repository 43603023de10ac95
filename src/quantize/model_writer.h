// Fills the shards of the quantized folder in their order: what was quantized before is copied, all
// else is made on the way.
#pragma once

#include <vector>

#include "quantize/job/work_folder.h"
#include "quantize/layer_quantizer.h"
#include "quantize/weight_writer.h"

namespace quarot::quantize {

class ModelWriter {
  public:
    // work: with all layers finished; null where none of their weights is quantized.
    ModelWriter(const QuantizeContext& context, const WorkFolder* work, ShardWriter& shards,
                Progress& progress);

    void write();
    // Of the matrices that only writing met: those kept as floats, embedding and lm_head.
    const std::vector<QuantizedLayerReport>& reports() const { return reports_; }

  private:
    void write_layer(int64_t layer);
    void write_norm(model::NormRole role, int64_t layer);
    void write_dense(const model::LinearId& id);
    void write_bias(const model::LinearId& id);
    void write_outer(model::LinearRole role);

    const QuantizeContext& context_;
    const WorkFolder* work_;
    WeightWriter writer_;
    Progress& progress_;
    std::vector<QuantizedLayerReport> reports_;
};

}  // namespace quarot::quantize
