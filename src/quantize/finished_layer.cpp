#include "quantize/finished_layer.h"

#include <iterator>
#include <map>
#include <string>

#include "core/error.h"
#include "folder/stored_linear.h"
#include "folder/stored_names.h"
#include "io/text.h"
#include "model/role_formats.h"

namespace quarot::quantize {

namespace {

std::vector<io::PlannedTensor> planned_linear(const QuantizeContext& context,
                                              const model::LinearId& id) {
    return folder::stored_tensors(folder::linear_name(id), id, context.source.config(),
                                  context.recipe);
}

}  // namespace

std::vector<io::PlannedTensor> planned_layer(const QuantizeContext& context, int64_t layer) {
    std::vector<io::PlannedTensor> planned;
    for (const model::LinearId& id : linears_of(context.source.config(), layer)) {
        if (weight_bits(context.recipe, id.role) == 16) continue;
        auto tensors = planned_linear(context, id);
        planned.insert(planned.end(), std::make_move_iterator(tensors.begin()),
                       std::make_move_iterator(tensors.end()));
    }
    return planned;
}

FinishedLayer::FinishedLayer(const QuantizeContext& context, const WorkFolder& work, int64_t layer)
    : context_(context), file_(work.open_layer(layer)) {
    const std::string where = fmt::format("layer {} in {}", layer, work.path());
    std::map<std::string, io::PlannedTensor> planned;
    for (auto& tensor : planned_layer(context, layer)) planned.emplace(tensor.name, tensor);
    for (const auto& [name, info] : file_.tensors()) {
        const auto expected = planned.find(name);
        if (expected == planned.end()) {
            fail(ErrorCode::Corrupt, "{} holds a tensor {}, which this job does not make", where,
                 io::printable(name));
        }
        if (info.dtype == expected->second.dtype && info.shape == expected->second.shape) continue;
        fail(ErrorCode::Corrupt, "{}: tensor {} has another shape or dtype than this job gives it",
             where, name);
    }
    if (file_.tensors().size() == planned.size()) return;
    fail(ErrorCode::Corrupt, "{} holds {} tensors, expected {}", where, file_.tensors().size(),
         planned.size());
}

std::vector<NamedTensor> FinishedLayer::tensors_of(const model::LinearId& id) const {
    std::vector<NamedTensor> tensors;
    for (const auto& planned : planned_linear(context_, id)) {
        tensors.push_back(read_tensor(file_, planned.name));
    }
    return tensors;
}

}  // namespace quarot::quantize
