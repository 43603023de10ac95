#include "quantize/model_writer.h"

#include <optional>
#include <utility>

#include "core/check.h"
#include "core/process.h"
#include "folder/stored_names.h"
#include "model/role_formats.h"
#include "quantize/finished_layer.h"
#include "quantize/outer_matrices.h"
#include "quantize/quantized_tensors.h"

namespace quarot::quantize {
namespace {

using model::LinearId;
using model::LinearRole;
using model::NormRole;

}  // namespace

ModelWriter::ModelWriter(const QuantizeContext& context, const WorkFolder* work,
                         ShardWriter& shards, Progress& progress)
    : context_(context),
      work_(work),
      writer_(context.plan, shards, context.pool),
      progress_(progress) {}

void ModelWriter::write() {
    const folder::SourceModel& source = context_.source;
    for (const LinearRole table : tables_of(source.config())) write_outer(table);
    progress_.advance();
    for (int64_t layer = 0; layer < source.config().n_layers; ++layer) {
        throw_if_interrupted();
        write_layer(layer);
        progress_.advance();
    }
    write_norm(NormRole::Final, 0);
    if (!context_.plan.tied_embeddings) write_outer(LinearRole::LmHead);
    progress_.advance();
}

void ModelWriter::write_layer(int64_t layer) {
    const model::ModelConfig& config = context_.source.config();
    for (const NormRole role : norms_of(config, layer)) write_norm(role, layer);
    std::optional<FinishedLayer> finished;
    if (work_ != nullptr) finished.emplace(context_, *work_, layer);
    for (const LinearId& id : linears_of(config, layer)) {
        if (weight_bits(context_.recipe, id.role) == 16) {
            write_dense(id);
        } else {
            QUAROT_CHECK(finished.has_value());
            writer_.quantized(folder::linear_name(id), finished->tensors_of(id));
        }
        write_bias(id);
    }
}

void ModelWriter::write_norm(NormRole role, int64_t layer) {
    const model::ModelConfig& config = context_.plan.config;
    std::vector<float> stored = context_.norm_gain(role, layer);
    for (float& value : stored) value -= context_.source.family().gain_offset;
    writer_.vector(folder::norm_name(role, layer, config), stored);
    if (!model::has_bias(role, config)) return;
    writer_.vector(folder::norm_bias_name(role, layer, config), context_.norm_bias(role, layer));
}

void ModelWriter::write_dense(const LinearId& id) {
    writer_.dense(context_.rotated(id));
    reports_.push_back({.name = folder::linear_name(id), .method = "none"});
}

void ModelWriter::write_bias(const LinearId& id) {
    if (!has_bias(id.role, context_.plan.config)) return;
    writer_.vector(folder::linear_name(id) + ".bias", context_.bias(id));
}

void ModelWriter::write_outer(LinearRole role) {
    const LinearId id = {role};
    if (weight_bits(context_.recipe, role) == 16) {
        write_dense(id);
    } else {
        const std::string name = folder::linear_name(id);
        QuantizedLinear linear = quantize_outer(context_, role);
        std::vector<NamedTensor> tensors;
        append_tensors(name, std::move(linear.matrix), tensors);
        writer_.quantized(name, tensors);
        reports_.push_back(std::move(linear.report));
    }
    write_bias(id);
}

}  // namespace quarot::quantize
