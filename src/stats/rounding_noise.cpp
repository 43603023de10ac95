#include "stats/rounding_noise.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/check.h"
#include "core/error.h"
#include "kernels/backend.h"
#include "tensor/affine.h"

namespace quarot::stats {
namespace {

// A head's values become what the cache gives back (KvFormat); values that are not finite stay.
void round_vector(std::span<float> values, const kernels::KvFormat& format) {
    if (!std::all_of(values.begin(), values.end(), [](float x) { return std::isfinite(x); })) {
        return;
    }
    const auto [min, max] = std::minmax_element(values.begin(), values.end());
    float lo = *min, hi = *max;
    if (format.range_includes_zero) {
        lo = std::min(lo, 0.0f);
        hi = std::max(hi, 0.0f);
    }
    const Affine affine =
        asymmetric_affine(lo * format.clip, hi * format.clip, format.bits, format.scales);
    if (!std::isfinite(affine.scale)) {
        fail(ErrorCode::Numeric,
             "values of the cache reach from {} to {}, which scales of {} do not hold", lo, hi,
             name_of(format.scales));
    }
    for (float& x : values) {
        const int32_t q = quantize_asymmetric(x, affine, format.bits);
        x = affine.scale * static_cast<float>(q - affine.zero);
    }
}

}  // namespace

RoundingNoise::RoundingNoise(int n_threads)
    : backend_(kernels::make_backend("cpu", {.n_threads = n_threads, .isa = {}})) {}

std::vector<double> RoundingNoise::of(std::span<const float> values, int64_t width,
                                      const PointFormat& format) {
    if (format.bits() == 16) return {};
    QUAROT_CHECK(std::ssize(values) % width == 0 && width % format.cols == 0, "{} {} {}",
                 values.size(), width, format.cols);
    std::visit([&](const auto& of_rows) { quantize(values, format.cols, of_rows); }, format.format);
    std::vector<double> sums(values.size() / static_cast<size_t>(width));
    for (size_t i = 0; i < values.size(); ++i) {
        const double difference = double{values[i]} - double{quantized_[i]};
        sums[i / static_cast<size_t>(width)] += difference * difference;
    }
    return sums;
}

void RoundingNoise::quantize(std::span<const float> values, int64_t cols,
                             const kernels::ActivationFormat& format) {
    const int64_t n_rows = std::ssize(values) / cols;
    const auto reserve = [&](kernels::Buffer& buffer, int64_t bytes) {
        if (buffer.bytes() < bytes) buffer = backend_->allocate(bytes);
    };
    const int64_t bytes = std::ssize(values) * size_of(DType::F32);
    std::vector<int32_t> positions(static_cast<size_t>(n_rows));
    std::iota(positions.begin(), positions.end(), 0);
    const int64_t position_bytes = n_rows * int64_t{sizeof(int32_t)};
    reserve(values_, bytes);
    reserve(codes_, backend_->quantized_bytes(n_rows, cols, format));
    reserve(positions_, position_bytes);
    const kernels::Rows rows = {values_.data(), DType::F32, n_rows, cols, cols};
    kernels::QuantizedRows codes = backend_->place_quantized(codes_.data(), n_rows, cols, format);
    codes.positions = static_cast<const int32_t*>(positions_.data());
    backend_->upload(rows.data, values.data(), bytes);
    backend_->upload(positions_.data(), positions.data(), position_bytes);
    backend_->quantize(rows, codes, {});
    backend_->dequantize(codes, rows);
    quantized_.resize(values.size());
    backend_->download(quantized_.data(), rows.data, bytes);
    backend_->synchronize();
}

void RoundingNoise::quantize(std::span<const float> values, int64_t cols,
                             const kernels::KvFormat& format) {
    quantized_.assign(values.begin(), values.end());
    const auto n = static_cast<size_t>(cols);
    for (size_t first = 0; first < quantized_.size(); first += n) {
        round_vector(std::span(quantized_).subspan(first, n), format);
    }
}

}  // namespace quarot::stats
