#include "quantize/outlier_weights.h"

#include <cmath>
#include <cstring>
#include <memory>
#include <utility>

#include "core/error.h"
#include "folder/stored_linear.h"
#include "folder/value_checks.h"
#include "quantize/quantized_tensors.h"
#include "quantize/rounding/quantizer.h"
#include "quantize/rounding/rtn.h"
#include "tensor/float_convert.h"

namespace quarot::quantize {
namespace {

Tensor round_to_f16(const std::string& linear, std::span<const float> values, int64_t n) {
    Tensor stored(DType::F16, {std::ssize(values) / n, n});
    narrow(DType::F16, values, stored.data());
    std::vector<float> back(values.size());
    widen(DType::F16, stored.data(), back);
    for (size_t i = 0; i < back.size(); ++i) {
        if (std::isfinite(back[i])) continue;
        fail(ErrorCode::Numeric,
             "{}: the weight {} of a column that is kept apart is more than an F16 holds", linear,
             values[i]);
    }
    return stored;
}

}  // namespace

OutlierWeights make_outlier_weights(int64_t rows, int64_t n, const WeightFormat& format) {
    if (format.bits == 16) return Tensor(DType::F16, {rows, n});
    return make_quantized_matrix(rows, n, format.bits, format.group_size, format.symmetric);
}

OutlierWeights round_outliers(const std::string& linear, std::span<const float> values, int64_t n,
                              const WeightFormat& format) {
    if (format.bits == 16) return round_to_f16(linear, values, n);
    return quantize_rtn({values, std::ssize(values) / n, n}, format);
}

void put_rows(const OutlierWeights& part, int64_t first, OutlierWeights& whole) {
    if (const auto* codes = std::get_if<QuantizedMatrix>(&part)) {
        return put_rows(*codes, first, std::get<QuantizedMatrix>(whole));
    }
    const Tensor& from = std::get<Tensor>(part);
    Tensor& to = std::get<Tensor>(whole);
    std::memcpy(to.data() + first * to.cols() * size_of(to.dtype()), from.data(),
                static_cast<size_t>(from.bytes()));
}

void widen_row(const OutlierWeights& weights, int64_t row, std::span<float> out) {
    if (const auto* codes = std::get_if<QuantizedMatrix>(&weights)) {
        return codes->dequantize_row(row, out);
    }
    const Tensor& dense = std::get<Tensor>(weights);
    widen(dense.dtype(), dense.data() + row * dense.cols() * size_of(dense.dtype()), out);
}

int64_t bytes_of(const OutlierWeights& weights) {
    return std::visit([](const auto& w) { return w.bytes(); }, weights);
}

kernels::LinearWeights linear_weights(const OutlierWeights& weights) {
    if (const auto* codes = std::get_if<QuantizedMatrix>(&weights)) return {copy_of(*codes), {}};
    return {std::make_shared<const Tensor>(copy_of(std::get<Tensor>(weights))), {}};
}

void append_outliers(const std::string& linear, OutlierWeights weights,
                     std::vector<NamedTensor>& tensors) {
    const folder::QuantizedNames names(linear);
    if (auto* codes = std::get_if<QuantizedMatrix>(&weights)) {
        return append_tensors(names.outlier, std::move(*codes), tensors);
    }
    tensors.push_back({names.outlier + ".weight", std::get<Tensor>(std::move(weights))});
}

OutlierWeights outliers_from(const std::vector<NamedTensor>& tensors, const std::string& linear,
                             int64_t rows, int64_t n, const WeightFormat& format) {
    const folder::QuantizedNames names(linear);
    if (format.bits < 16) return matrix_from(tensors, names.outlier, rows, n, format);
    Tensor dense(DType::F16, {rows, n});
    const std::string name = names.outlier + ".weight";
    copy_named(tensors, name, dense);
    folder::check_finite(dense, {"a finished layer", name});
    return dense;
}

}  // namespace quarot::quantize
