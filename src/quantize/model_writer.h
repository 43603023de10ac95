// Fills the shards of the quantized folder in their order: what was quantized before is copied, all
// else is made on the way.
#pragma once

#include <functional>
#include <vector>

#include "quantize/layer_quantizer.h"
#include "quantize/weight_writer.h"

namespace quarot::quantize {

class ModelWriter {
  public:
    // read_layer: the quantized tensors of a layer, called once each in order.
    using ReadLayer = std::function<std::vector<NamedTensor>(int64_t layer)>;
    ModelWriter(const QuantizeContext& context, ReadLayer read_layer, ShardWriter& shards,
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
    ReadLayer read_layer_;
    WeightWriter writer_;
    Progress& progress_;
    std::vector<QuantizedLayerReport> reports_;
};

}  // namespace quarot::quantize
