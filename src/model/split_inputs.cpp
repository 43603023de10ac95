#include "model/split_inputs.h"

namespace quarot::model {

using kernels::Operand;
using kernels::Rows;

bool SplitInputs::at(int64_t layer, InputSite site) const {
    return !layer_weights(layer).split(site).empty();
}

SiteInput SplitInputs::read(int64_t layer, InputSite site, const Rows& values,
                            kernels::SiteNote note) {
    const ColumnSplit& split = layer_weights(layer).split(site);
    const auto part = [&](const int32_t* columns, int64_t n, const Rows& room,
                          const kernels::ActivationFormat& format, void* codes) {
        Rows gathered = room.slice(0, values.rows);
        gathered.cols = n;
        backend_.gather_columns(values, columns, gathered);
        const Operand in = memory_.operand(gathered, format, codes);
        if (const auto* quantized = std::get_if<kernels::QuantizedRows>(&in.rows)) {
            backend_.quantize(gathered, *quantized, note);
        }
        return in;
    };
    SiteInput in{part(split.data(), split.n_main, memory_.main_columns,
                      weights_.activation_format(rule_of(site).roles.front()), memory_.codes),
                 {}};
    if (split.n_outliers > 0) {
        in.outliers = part(split.data() + split.n_main, split.n_outliers, memory_.outlier_columns,
                           outlier_activation_format(weights_.recipe), memory_.outlier_codes);
    }
    return in;
}

void SplitInputs::add(int64_t layer, InputSite site, const SiteInput& in,
                      std::span<const Rows> outs) {
    if (!in.outliers) return;
    const std::span<const LinearRole> roles = roles_at(site, weights_.config);
    for (size_t i = 0; i < roles.size(); ++i) {
        backend_.linear({.in = *in.outliers,
                         .weight = *layer_weights(layer).outlier(roles[i]),
                         .out = outs[i],
                         .accumulate = true});
    }
}

}  // namespace quarot::model
