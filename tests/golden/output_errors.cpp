#include "golden/output_errors.h"

#include <span>
#include <utility>
#include <variant>
#include <vector>

#include "folder/stored_names.h"
#include "tensor/affine.h"

namespace quarot::test {

namespace {

using kernels::Linear;

struct WeightErrors {
    std::shared_ptr<Tensor> codes, nearest_codes;  // F32 [out, in]
};

WeightErrors weight_errors(const QuantizedMatrix& matrix, const Tensor& exact) {
    QUAROT_CHECK(matrix.symmetric && exact.dtype() == DType::F32);
    WeightErrors errors;
    for (auto* error : {&errors.codes, &errors.nearest_codes}) {
        *error = std::make_shared<Tensor>(DType::F32, exact.shape());
    }
    const auto n = static_cast<size_t>(matrix.cols);
    const int64_t group = matrix.cols / matrix.n_groups();
    for (int64_t r = 0; r < matrix.rows; ++r) {
        const int64_t first = r * matrix.cols;
        const float* w = exact.as<float>() + first;
        float* of_codes = errors.codes->as<float>() + first;
        float* of_nearest = errors.nearest_codes->as<float>() + first;
        matrix.dequantize_row(r, {of_codes, n});
        for (int64_t c = 0; c < matrix.cols; ++c) {
            const float scale = matrix.scale(r, c / group);
            const int32_t nearest = quantize_symmetric(w[c], scale, matrix.bits);
            of_codes[c] -= w[c];
            of_nearest[c] = scale * static_cast<float>(nearest) - w[c];
        }
    }
    return errors;
}

}  // namespace

void OutputErrors::watch(const model::Weights& weights, const folder::SourceModel& quantized,
                         const folder::SourceModel& exact) {
    for (const model::LinearId& id : linears_of(weights.config)) {
        WeightErrors errors =
            weight_errors(quantized.quantized(id),
                          exact.dense_rows(id, 0, out_features(id.role, weights.config)));
        Watched& watched = watched_[&weights.layers[static_cast<size_t>(id.layer)].linear(id.role)];
        watched.codes = prepare_linear({std::move(errors.codes), {}});
        watched.nearest_codes = prepare_linear({std::move(errors.nearest_codes), {}});
        watched.error = &errors_[folder::linear_name(id)];
    }
}

void OutputErrors::linear(const kernels::LinearArgs& args) {
    measure(args.in, args.weight);
    WatchedBackend::linear(args);
}

void OutputErrors::linear_group(const kernels::LinearGroupArgs& args) {
    for (const Linear* weight : args.weights) measure(args.in, *weight);
    WatchedBackend::linear_group(args);
}

void OutputErrors::measure(const kernels::Operand& in, const Linear& weight) {
    const auto found = watched_.find(&weight);
    if (found == watched_.end()) return;
    const int64_t n = in.n_rows(), cols = weight.in_features();
    const kernels::Buffer memory = allocate(n * cols * size_of(DType::F32));
    Rows floats = {memory.data(), DType::F32, n, cols, cols};
    if (const auto* codes = std::get_if<kernels::QuantizedRows>(&in.rows)) {
        dequantize(*codes, floats);
    } else {
        floats = std::get<Rows>(in.rows);
    }
    Watched& watched = found->second;
    watched.error->of_codes += square_of_product(floats, *watched.codes);
    watched.error->of_nearest_codes += square_of_product(floats, *watched.nearest_codes);
}

double OutputErrors::square_of_product(const Rows& in, const Linear& weight) {
    const int64_t cols = weight.out_features();
    std::vector<float> product(static_cast<size_t>(in.rows * cols));
    const kernels::Buffer memory = allocate(std::ssize(product) * size_of(DType::F32));
    const Rows out = {memory.data(), DType::F32, in.rows, cols, cols};
    WatchedBackend::linear({.in = kernels::Operand{in}, .weight = weight, .out = out});
    download(product.data(), memory.data(), memory.bytes());
    synchronize();
    double sum = 0.0;
    for (const double value : product) sum += value * value;
    return sum;
}

}  // namespace quarot::test
