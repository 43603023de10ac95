#include "kernels/cpu/cpu_transform.h"

#include <cmath>

#include "core/check.h"

namespace quarot::kernels::cpu {

CpuTransform::CpuTransform(const linalg::Mixer& mixer, int64_t inner)
    : Transform(mixer.n, inner),
      identity_(mixer.kind == linalg::MixerKind::Identity),
      order_(mixer.dense_order),
      sylvester_order_(mixer.sylvester_order()) {
    if (identity_) return;
    const double scale = 1.0 / std::sqrt(static_cast<double>(mixer.n));
    if (order_ == 1) {
        factor_ = static_cast<float>(scale);
        return;
    }
    for (const double entry : mixer.dense) dense_.push_back(static_cast<float>(entry * scale));
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
    if (sylvester_order_ > 1 || order_ == 1) {
        for (int64_t k = 0; k < order_; ++k) {
            isa.sylvester(block + k * width, sylvester_order_, inner(), factor_);
        }
    }
    if (order_ > 1) isa.dense_mix(dense_.data(), order_, block, width, scratch);
}

}  // namespace quarot::kernels::cpu
