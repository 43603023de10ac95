#include "kernels/cpu/cpu_transform.h"

#include <cmath>

#include "core/check.h"

namespace quarot::kernels::cpu {

CpuTransform::CpuTransform(const linalg::Mixer& mixer, int64_t inner, DType storage)
    : Transform(mixer.n, inner),
      identity_(mixer.kind == linalg::MixerKind::Identity),
      half_(storage == DType::F16),
      order_(mixer.dense_order),
      sylvester_order_(mixer.sylvester_order()) {
    QUAROT_CHECK(storage == DType::F32 || storage == DType::F16, "{}", name_of(storage));
    if (identity_) return;
    const double scale = 1.0 / std::sqrt(static_cast<double>(mixer.n));
    const bool scale_first = half_ || order_ == 1;
    if (scale_first) factor_ = static_cast<float>(scale);
    if (order_ == 1) return;
    const double dense_scale = scale_first ? 1.0 : scale;
    for (const double entry : mixer.dense) {
        dense_.push_back(static_cast<float>(entry * dense_scale));
    }
}

void CpuTransform::apply(const IsaKernels& isa, float* row, int64_t cols, Scratch& scratch) const {
    if (identity_) return;
    const int64_t block = n() * inner();
    QUAROT_CHECK(cols % block == 0, "{} columns, blocks of {} x {}", cols, n(), inner());
    constexpr int64_t kMixFloats = 2 * 64;  // per row of the dense factor
    auto* mix =
        order_ == 1 ? nullptr : reinterpret_cast<float*>(scratch.get(order_ * kMixFloats * 4));
    for (int64_t first = 0; first < cols; first += block) apply_block(isa, row + first, mix);
}

void CpuTransform::apply_block(const IsaKernels& isa, float* block, float* scratch) const {
    const int64_t width = sylvester_order_ * inner();
    if (half_) isa.round_to_half(block, order_ * width);
    if (sylvester_order_ > 1 || factor_ != 1.0f) {
        for (int64_t k = 0; k < order_; ++k) {
            isa.sylvester(block + k * width, sylvester_order_, inner(), factor_);
        }
    }
    if (half_) isa.round_to_half(block, order_ * width);
    if (order_ == 1) return;
    isa.dense_mix(dense_.data(), order_, block, width, scratch);
    if (half_) isa.round_to_half(block, order_ * width);
}

}  // namespace quarot::kernels::cpu
