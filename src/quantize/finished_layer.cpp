#include "quantize/finished_layer.h"

#include <map>
#include <string>

#include "core/error.h"
#include "folder/stored_linear.h"
#include "folder/stored_names.h"
#include "io/text.h"
#include "model/role_formats.h"

namespace quarot::quantize {

namespace {

using Planned = std::map<std::string, io::PlannedTensor>;

// What the plan has in place of the layer's quantized weights; biases are written apart.
Planned tensors_of_layer(const QuantizeContext& context, int64_t layer) {
    Planned planned;
    for (const model::LinearRole role : roles_of(context.source.config(), layer)) {
        if (weight_bits(context.recipe, role) == 16) continue;
        for (auto& tensor : folder::stored_tensors(folder::linear_name({role, layer}), role,
                                                   context.source.config(), context.recipe)) {
            planned.emplace(tensor.name, tensor);
        }
    }
    return planned;
}

void check_tensor(const NamedTensor& found, const Planned& planned, const std::string& where) {
    const auto expected = planned.find(found.name);
    if (expected == planned.end()) {
        fail(ErrorCode::Corrupt, "{} holds a tensor {}, which this job does not make", where,
             io::printable(found.name));
    }
    if (found.tensor.dtype() == expected->second.dtype &&
        found.tensor.shape() == expected->second.shape) {
        return;
    }
    fail(ErrorCode::Corrupt, "{}: tensor {} has another shape or dtype than this job gives it",
         where, found.name);
}

}  // namespace

std::vector<NamedTensor> read_finished_layer(const QuantizeContext& context, const WorkFolder& work,
                                             int64_t layer) {
    const std::string where = fmt::format("layer {} in {}", layer, work.path());
    const Planned planned = tensors_of_layer(context, layer);
    std::vector<NamedTensor> tensors = work.read_layer(layer);
    for (const NamedTensor& tensor : tensors) check_tensor(tensor, planned, where);
    if (tensors.size() == planned.size()) return tensors;
    fail(ErrorCode::Corrupt, "{} holds {} tensors, expected {}", where, tensors.size(),
         planned.size());
}

}  // namespace quarot::quantize
