#include "quantize/model_writer.h"

#include <utility>

#include "core/check.h"
#include "core/process.h"
#include "folder/stored_names.h"
#include "model/role_formats.h"
#include "quantize/quantized_tensors.h"
#include "quantize/rounding/quantizer.h"

namespace quarot::quantize {
namespace {

using model::LinearId;
using model::LinearRole;
using model::NormRole;

}  // namespace

ModelWriter::ModelWriter(const QuantizeContext& context, ReadLayer read_layer, ShardWriter& shards,
                         Progress& progress)
    : context_(context),
      read_layer_(std::move(read_layer)),
      writer_(context.plan, shards, context.pool),
      progress_(progress) {}

void ModelWriter::write() {
    const folder::SourceModel& source = context_.source;
    writer_.dense(
        RotatedWeight(embedding_source(source), context_.rotation, source.config(), context_.pool));
    progress_.advance();
    for (int64_t layer = 0; layer < source.config().n_layers; ++layer) {
        throw_if_interrupted();
        write_layer(layer);
        progress_.advance();
    }
    write_norm(NormRole::Final, 0);
    if (!context_.plan.tied_embeddings) write_head();
    progress_.advance();
}

void ModelWriter::write_layer(int64_t layer) {
    const model::ModelConfig& config = context_.source.config();
    for (const NormRole role : norms_of(config, layer)) write_norm(role, layer);
    const std::vector<NamedTensor> tensors = read_layer_(layer);
    for (const LinearRole role : roles_of(config, layer)) {
        const LinearId id = {role, layer};
        if (weight_bits(context_.recipe, role) == 16) {
            write_dense(id);
        } else {
            writer_.quantized(folder::linear_name(id), tensors);
        }
        write_bias(id);
    }
}

void ModelWriter::write_norm(NormRole role, int64_t layer) {
    writer_.vector(folder::norm_name(role, layer), context_.norm_gain(role, layer));
}

void ModelWriter::write_dense(const LinearId& id) {
    writer_.dense(context_.rotated(id));
    reports_.push_back({.name = folder::linear_name(id), .method = "none"});
}

void ModelWriter::write_bias(const LinearId& id) {
    if (!has_bias(id.role, context_.source.config())) return;
    writer_.vector(folder::linear_name(id) + ".bias", context_.bias(id));
}

// Rounded to nearest whatever the method: nothing after it could make its errors good.
void ModelWriter::write_head() {
    const LinearId head = {LinearRole::LmHead};
    WeightFormat format = weight_format(context_.recipe, LinearRole::LmHead);
    if (format.bits == 16) {
        write_dense(head);
    } else {
        format.method = "rtn";
        const RotatedWeight weight = context_.rotated(head);
        const std::string name = folder::linear_name(head);
        const auto prepared =
            quantizer_named(format.method)
                .prepare({name, weight.cols(), weight.cols(), {}}, format, context_.pool);
        QuantizedLinear linear =
            quantize_linear(name, weight, *prepared, format, {}, nullptr, context_.pool);
        std::vector<NamedTensor> tensors;
        append_tensors(name, std::move(linear.matrix), tensors);
        writer_.quantized(name, tensors);
        reports_.push_back(std::move(linear.report));
    }
    write_bias(head);
}

}  // namespace quarot::quantize
