#include "folder/stored_linear.h"

#include <iterator>

#include "core/checked_math.h"
#include "tensor/bit_pack.h"

namespace quarot::folder {

QuantizedNames::QuantizedNames(const std::string& linear)
    : packed(linear + ".weight_packed"),
      shape(linear + ".weight_shape"),
      scale(linear + ".weight_scale"),
      zero_point(linear + ".weight_zero_point"),
      column_order(linear + ".column_order"),
      outlier(linear + ".outlier"),
      input_clip(linear + ".input_clip") {}

std::vector<io::PlannedTensor> stored_codes(const std::string& linear, int64_t rows, int64_t cols,
                                            const WeightFormat& format) {
    const QuantizedNames names(linear);
    const int64_t n_groups = format.group_size == 0 ? 1 : ceil_div(cols, format.group_size);
    const DType scale = format.group_size == 0 ? DType::F32 : DType::F16;
    std::vector<io::PlannedTensor> tensors = {
        {names.packed, DType::I32, {rows, packed_words(cols, format.bits)}},
        {names.shape, DType::I64, {2}},
        {names.scale, scale, {rows, n_groups}}};
    if (!format.symmetric) tensors.push_back({names.zero_point, DType::U8, {rows, n_groups}});
    return tensors;
}

std::vector<io::PlannedTensor> stored_tensors(const std::string& linear, const model::LinearId& id,
                                              const model::ModelConfig& config,
                                              const Recipe& recipe) {
    const int64_t rows = out_features(id, config), cols = in_features(id, config);
    const int64_t n_apart = n_outliers(recipe, id.role, config);
    const QuantizedNames names(linear);
    auto tensors = stored_codes(linear, rows, cols - n_apart, weight_format(recipe, id.role));
    if (has_column_order(recipe, id.role))
        tensors.push_back({names.column_order, DType::I32, {cols}});
    if (holds_clip(recipe, id.role)) tensors.push_back({names.input_clip, DType::F32, {1}});
    if (n_apart == 0) return tensors;
    const WeightFormat outliers = outlier_weight_format(recipe);
    if (outliers.bits == 16) {
        tensors.push_back({names.outlier + ".weight", DType::F16, {rows, n_apart}});
        return tensors;
    }
    auto apart = stored_codes(names.outlier, rows, n_apart, outliers);
    tensors.insert(tensors.end(), std::make_move_iterator(apart.begin()),
                   std::make_move_iterator(apart.end()));
    return tensors;
}

}  // namespace quarot::folder
