#include "quantize/calibration/hessian_error.h"

#include <utility>

#include "core/check.h"

namespace quarot::quantize {
namespace {

kernels::Rows rows_in(kernels::Buffer& memory, int64_t rows, int64_t cols,
                      kernels::Backend& backend) {
    const int64_t bytes = rows * cols * size_of(DType::F32);
    if (memory.bytes() < bytes) memory = backend.allocate(bytes);
    return {memory.data(), DType::F32, rows, cols, cols};
}

}  // namespace

HessianError::HessianError(std::span<const double> hessian, int64_t n, kernels::Backend& backend)
    : n_(n), backend_(backend) {
    auto matrix = std::make_shared<Tensor>(DType::F32, Shape{n, n});
    for (size_t i = 0; i < hessian.size(); ++i) {
        matrix->as<float>()[i] = static_cast<float>(hessian[i]);
    }
    hessian_ = backend.prepare_linear({std::shared_ptr<const Tensor>(std::move(matrix)), {}});
}

double HessianError::of(std::span<const float> differences, int64_t rows) {
    QUAROT_CHECK(std::ssize(differences) == rows * n_);
    const kernels::Rows in = rows_in(in_, rows, n_, backend_);
    const kernels::Rows out = rows_in(out_, rows, n_, backend_);
    const int64_t bytes = std::ssize(differences) * size_of(DType::F32);
    backend_.upload(in.data, differences.data(), bytes);
    backend_.linear({.in = kernels::Operand{in}, .weight = *hessian_, .out = out});
    std::vector<float> product(differences.size());
    backend_.download(product.data(), out.data, bytes);
    backend_.synchronize();
    double sum = 0.0;
    for (size_t i = 0; i < product.size(); ++i) {
        sum += static_cast<double>(product[i]) * static_cast<double>(differences[i]);
    }
    return sum;
}

}  // namespace quarot::quantize
