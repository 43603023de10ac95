#include "quantize/hessian.h"

#include <algorithm>
#include <cstddef>
#include <utility>

namespace quarot::quantize {

kernels::Buffer zero_sums(int64_t n, kernels::Backend& backend) {
    const int64_t bytes = n * n * static_cast<int64_t>(sizeof(double));
    const std::vector<std::byte> piece(static_cast<size_t>(std::min(bytes, int64_t{8} << 20)));
    kernels::Buffer memory = backend.allocate(bytes);
    for (int64_t at = 0; at < bytes; at += std::ssize(piece)) {
        backend.upload(static_cast<std::byte*>(memory.data()) + at, piece.data(),
                       std::min(std::ssize(piece), bytes - at));
    }
    return memory;
}

std::vector<double> download_sums(const kernels::Buffer& sums, kernels::Backend& backend) {
    std::vector<double> values(static_cast<size_t>(sums.bytes()) / sizeof(double));
    backend.download(values.data(), sums.data(), sums.bytes());
    backend.synchronize();
    return values;
}

Hessian::Hessian(kernels::Buffer sums, int64_t n, int64_t n_tokens, kernels::Backend& backend)
    : n_tokens_(static_cast<double>(n_tokens)) {
    if (auto* maker = kernels::column_solver_maker(backend)) {
        device_ = &backend;
        sums_ = std::move(sums);
        diagonal_ = maker->diagonal({static_cast<const double*>(sums_.data()), n, n_tokens_});
        return;
    }
    *this = Hessian(download_sums(sums, backend), n, n_tokens);
}

Hessian::Hessian(std::vector<double> sums, int64_t n, int64_t n_tokens)
    : values_(std::move(sums)), n_tokens_(static_cast<double>(n_tokens)) {
    for (double& value : values_) value /= n_tokens_;
    for (int64_t i = 0; i < n; ++i) diagonal_.push_back(values_[static_cast<size_t>(i * (n + 1))]);
}

std::optional<DeviceHessian> Hessian::on_device() const {
    if (device_ == nullptr) return std::nullopt;
    const auto* sums = static_cast<const double*>(sums_.data());
    return DeviceHessian{device_, {sums, std::ssize(diagonal_), n_tokens_}, diagonal_};
}

void Hessian::reorder(const ColumnOrder& columns) {
    std::vector<double> diagonal;
    for (const int32_t column : columns.columns) {
        diagonal.push_back(diagonal_[static_cast<size_t>(column)]);
    }
    diagonal_ = std::move(diagonal);
    if (device_ == nullptr) {
        values_ = columns.of_square(values_);
        return;
    }
    const auto ordered = columns.of_square(download_sums(sums_, *device_));
    device_->upload(sums_.data(), ordered.data(), sums_.bytes());
}

}  // namespace quarot::quantize
