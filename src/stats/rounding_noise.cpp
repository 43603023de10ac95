#include "stats/rounding_noise.h"

#include <algorithm>

#include "core/check.h"
#include "kernels/backend.h"

namespace quarot::stats {

RoundingNoise::RoundingNoise(int n_threads)
    : backend_(kernels::make_backend("cpu", {.n_threads = n_threads, .isa = {}})) {}

std::vector<double> RoundingNoise::of(std::span<const float> values, int64_t width,
                                      const PointFormat& format) {
    if (format.format.bits == 16) return {};
    const int64_t n_rows = std::ssize(values) / format.cols;
    QUAROT_CHECK(n_rows * format.cols == std::ssize(values) && width % format.cols == 0, "{} {} {}",
                 values.size(), width, format.cols);
    const int64_t bytes = std::ssize(values) * size_of(DType::F32);
    const int64_t code_bytes = backend_->quantized_bytes(n_rows, format.cols, format.format);
    if (values_.bytes() < bytes) values_ = backend_->allocate(bytes);
    if (codes_.bytes() < code_bytes) codes_ = backend_->allocate(code_bytes);
    const kernels::Rows rows = {values_.data(), DType::F32, n_rows, format.cols, format.cols};
    const kernels::QuantizedRows codes =
        backend_->place_quantized(codes_.data(), n_rows, format.cols, format.format);
    backend_->upload(rows.data, values.data(), bytes);
    backend_->quantize(rows, codes, {});
    backend_->dequantize(codes, rows);
    quantized_.resize(values.size());
    backend_->download(quantized_.data(), rows.data, bytes);
    backend_->synchronize();
    std::vector<double> sums(values.size() / static_cast<size_t>(width));
    for (size_t i = 0; i < values.size(); ++i) {
        const double difference = double{values[i]} - double{quantized_[i]};
        sums[i / static_cast<size_t>(width)] += difference * difference;
    }
    return sums;
}

}  // namespace quarot::stats
