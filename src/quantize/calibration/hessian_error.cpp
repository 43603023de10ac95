#include "quantize/calibration/hessian_error.h"

#include <algorithm>
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

std::shared_ptr<const Tensor> in_fp32(std::span<const double> square, int64_t n, ThreadPool& pool) {
    auto matrix = std::make_shared<Tensor>(DType::F32, Shape{n, n});
    pool.parallel_for(n, [&](int64_t row, int) {
        const auto from = square.subspan(static_cast<size_t>(row * n), static_cast<size_t>(n));
        std::transform(from.begin(), from.end(), matrix->as<float>() + row * n,
                       [](double h) { return static_cast<float>(h); });
    });
    return matrix;
}

}  // namespace

HessianError::HessianError(const Hessian& hessian, kernels::Backend& backend, ThreadPool& pool)
    : n_(std::ssize(hessian.diagonal())), backend_(backend), pool_(pool) {
    if (const auto on_device = hessian.on_device()) {
        hessian_ = kernels::column_solver_maker(backend)->prepare_hessian(on_device->sums);
    } else {
        hessian_ = backend.prepare_linear({in_fp32(hessian.on_host(), n_, pool), {}});
    }
}

std::vector<double> HessianError::of(std::span<const std::span<const float>> blocks) {
    int64_t n_values = 0;
    for (const auto& block : blocks) n_values += std::ssize(block);
    const int64_t rows = n_values / n_;
    QUAROT_CHECK(n_values == rows * n_, "{} {}", n_values, n_);
    const kernels::Rows in = rows_in(in_, rows, n_, backend_);
    const kernels::Rows out = rows_in(out_, rows, n_, backend_);
    int64_t at = 0;
    for (const auto& block : blocks) {
        const int64_t bytes = std::ssize(block) * size_of(DType::F32);
        backend_.upload(static_cast<float*>(in.data) + at, block.data(), bytes);
        at += std::ssize(block);
    }
    backend_.linear({.in = kernels::Operand{in}, .weight = *hessian_, .out = out});
    if (std::ssize(products_) < n_values) products_.resize(static_cast<size_t>(n_values));
    backend_.download(products_.data(), out.data, n_values * size_of(DType::F32));
    backend_.synchronize();
    std::vector<double> sums(blocks.size(), 0.0);
    std::vector<size_t> first(blocks.size(), 0);
    for (size_t b = 1; b < blocks.size(); ++b) first[b] = first[b - 1] + blocks[b - 1].size();
    pool_.parallel_for(std::ssize(blocks), [&](int64_t index, int) {
        const auto b = static_cast<size_t>(index);
        for (size_t i = 0; i < blocks[b].size(); ++i) {
            sums[b] +=
                static_cast<double>(products_[first[b] + i]) * static_cast<double>(blocks[b][i]);
        }
    });
    return sums;
}

}  // namespace quarot::quantize
