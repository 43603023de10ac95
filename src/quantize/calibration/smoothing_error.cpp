#include "quantize/calibration/smoothing_error.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>

#include "model/role_formats.h"
#include "quantize/calibration/download_row.h"
#include "quantize/quantized_tensors.h"
#include "quantize/rounding/quantizer.h"
#include "quantize/rounding/rtn.h"
#include "tensor/float_convert.h"

namespace quarot::quantize {
namespace {

using kernels::Operand;
using kernels::Rows;

std::vector<float> floats_of(const Tensor& tensor) {
    std::vector<float> values(static_cast<size_t>(element_count(tensor.shape())));
    widen(tensor.dtype(), tensor.data(), values);
    return values;
}

// Rows without padding in backend memory.
Rows place(std::span<const float> values, int64_t rows, int64_t cols, kernels::Buffer& memory,
           kernels::Backend& backend) {
    const int64_t bytes = std::ssize(values) * size_of(DType::F32);
    memory = backend.allocate(bytes);
    backend.upload(memory.data(), values.data(), bytes);
    return {memory.data(), DType::F32, rows, cols, cols};
}

// Rounded to nearest on all threads; rows do not see each other.
QuantizedMatrix rounded(std::span<const float> values, int64_t rows, int64_t cols,
                        const WeightFormat& format, ThreadPool& pool) {
    constexpr int64_t kRows = 16;
    QuantizedMatrix whole =
        make_quantized_matrix(rows, cols, format.bits, format.group_size, format.symmetric);
    pool.parallel_for(ceil_div(rows, kRows), [&](int64_t index, int) {
        const int64_t first = index * kRows;
        const int64_t n = std::min(kRows, rows - first);
        const auto part =
            values.subspan(static_cast<size_t>(first * cols), static_cast<size_t>(n * cols));
        put_rows(quantize_rtn({part, n, cols}, format), first, whole);
    });
    return whole;
}

kernels::LinearWeights weights_of(std::vector<float> values, int64_t rows, int64_t cols,
                                  const WeightFormat& format, ThreadPool& pool) {
    if (format.bits < 16) return {rounded(values, rows, cols, format, pool), {}};
    auto dense = std::make_shared<Tensor>(DType::F32, Shape{rows, cols});
    std::copy(values.begin(), values.end(), dense->as<float>());
    return {std::shared_ptr<const Tensor>(std::move(dense)), {}};
}

}  // namespace

void raise_weight_maxima(const Tensor& weight, std::vector<float>& maxima) {
    const std::vector<float> values = floats_of(weight);
    for (size_t i = 0; i < values.size(); ++i) {
        float& most = maxima[i % maxima.size()];
        most = std::max(most, std::abs(values[i]));
    }
}

SmoothingError::SmoothingError(const Rows& inputs, kernels::Backend& backend)
    : backend_(backend), n_rows_(inputs.rows), n_cols_(inputs.cols) {
    values_.resize(static_cast<size_t>(n_rows_ * n_cols_));
    for (int64_t r = 0; r < n_rows_; ++r) {
        download_row(inputs, r, backend,
                     std::span(values_).subspan(static_cast<size_t>(r * n_cols_),
                                                static_cast<size_t>(n_cols_)));
    }
}

double SmoothingError::of(const Tensor& weight, std::span<const double> scales,
                          const Recipe& recipe, model::LinearRole role, ThreadPool& pool) {
    const int64_t n_out = weight.shape()[0];
    std::vector<float> w = floats_of(weight);
    kernels::Buffer memory, codes;
    Rows in = place(values_, n_rows_, n_cols_, memory, backend_);
    const std::vector<float> exact = outputs({in}, weights_of(w, n_out, n_cols_, {}, pool));

    std::vector<float> smoothed = values_;
    for (size_t i = 0; i < smoothed.size(); ++i) {
        smoothed[i] = static_cast<float>(smoothed[i] / scales[i % scales.size()]);
    }
    for (size_t i = 0; i < w.size(); ++i) {
        w[i] = static_cast<float>(w[i] * scales[i % scales.size()]);
    }
    kernels::LinearWeights weights =
        weights_of(std::move(w), n_out, n_cols_, weight_format(recipe, role), pool);
    in = place(smoothed, n_rows_, n_cols_, memory, backend_);
    Operand operand = {in};
    const kernels::ActivationFormat activations = activation_format(recipe, role);
    if (activations.bits < 16) {
        codes = backend_.allocate(backend_.quantized_bytes(n_rows_, n_cols_, activations));
        const auto rows = backend_.place_quantized(codes.data(), n_rows_, n_cols_, activations);
        backend_.quantize(in, rows, {});
        operand = {rows};
        weights.activation_group = activations.corrected_group();
    }
    const std::vector<float> found = outputs(operand, std::move(weights));
    double error = 0.0, norm = 0.0;
    for (size_t i = 0; i < exact.size(); ++i) {
        const double y = exact[i];
        error += (y - found[i]) * (y - found[i]);
        norm += y * y;
    }
    return norm == 0.0 ? 0.0 : error / norm;
}

std::vector<float> SmoothingError::outputs(const Operand& in, kernels::LinearWeights weights) {
    const auto linear = backend_.prepare_linear(std::move(weights));
    const int64_t n_out = linear->out_features();
    const int64_t bytes = n_rows_ * n_out * size_of(DType::F32);
    const kernels::Buffer memory = backend_.allocate(bytes);
    backend_.linear(
        {.in = in, .weight = *linear, .out = {memory.data(), DType::F32, n_rows_, n_out, n_out}});
    std::vector<float> values(static_cast<size_t>(n_rows_ * n_out));
    backend_.download(values.data(), memory.data(), bytes);
    backend_.synchronize();
    return values;
}

}  // namespace quarot::quantize
