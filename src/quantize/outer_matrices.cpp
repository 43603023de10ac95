#include "quantize/outer_matrices.h"

#include <memory>
#include <string>
#include <vector>

#include "folder/stored_names.h"
#include "model/role_formats.h"
#include "quantize/rounding/quantizer.h"
#include "tensor/float_convert.h"

namespace quarot::quantize {
namespace {

using model::LinearRole;

struct Rounding {
    WeightFormat format;
    std::unique_ptr<PreparedQuantizer> quantizer;
};

Rounding rounding_of(const QuantizeContext& context, LinearRole role) {
    WeightFormat format = weight_format(context.recipe, role);
    format.method = "rtn";
    const int64_t cols = in_features(role, context.source.config());
    auto quantizer = quantizer_named(format.method)
                         .prepare({.site = folder::linear_name({role}),
                                   .n_cols = cols,
                                   .n_codes = cols,
                                   .hessian = {}},
                                  format, context.pool);
    return {format, std::move(quantizer)};
}

}  // namespace

QuantizedLinear quantize_outer(const QuantizeContext& context, LinearRole role) {
    const Rounding rounding = rounding_of(context, role);
    return quantize_linear(folder::linear_name({role}), rows_of(context.rotated({role})),
                           *rounding.quantizer, rounding.format, {}, nullptr, context.pool);
}

void round_as_stored(const QuantizeContext& context, LinearRole table, std::span<float> rows) {
    if (weight_bits(context.recipe, table) == 16) {
        const DType dtype = context.plan.dtype_of.at(folder::linear_name({table}) + ".weight");
        std::vector<std::byte> stored(rows.size() * static_cast<size_t>(size_of(dtype)));
        narrow(dtype, rows, stored.data());
        widen(dtype, stored.data(), rows);
        return;
    }
    const int64_t cols = in_features(table, context.source.config());
    const int64_t n_rows = std::ssize(rows) / cols;
    const QuantizedMatrix codes =
        rounding_of(context, table).quantizer->quantize({rows, n_rows, cols}).codes;
    for (int64_t row = 0; row < n_rows; ++row) {
        codes.dequantize_row(
            row, rows.subspan(static_cast<size_t>(row * cols), static_cast<size_t>(cols)));
    }
}

}  // namespace quarot::quantize
