#include "model/rope_tables.h"

#include <algorithm>

#include "core/check.h"
#include "core/checked_math.h"
#include "model/rope.h"

namespace quarot::model {

namespace {

constexpr int64_t kAtATime = 1024;  // positions: a few milliseconds

}  // namespace

RopeTables::RopeTables(const RopeConfig& rope, int64_t head_dim, int64_t n_positions,
                       kernels::Backend& backend)
    : frequencies_(rope_frequencies(rope, head_dim, n_positions)),
      amplitude_(rope.amplitude),
      n_positions_(n_positions) {
    const int64_t bytes = n_positions * head_dim / 2 * size_of(DType::F32);
    cos_ = backend.allocate(bytes);
    sin_ = backend.allocate(bytes);
}

void RopeTables::reach(int64_t n, kernels::Backend& backend) {
    QUAROT_CHECK(n <= n_positions_, "{} {}", n, n_positions_);
    if (n <= n_made_) return;
    const int64_t end = std::min(round_up(n, kAtATime), n_positions_);
    const RopeAngles angles = rope_angles(frequencies_, amplitude_, n_made_, end - n_made_);
    const auto bytes = static_cast<int64_t>(angles.cos.size() * sizeof(float));
    const int64_t first = n_made_ * std::ssize(frequencies_);
    backend.upload(static_cast<float*>(cos_.data()) + first, angles.cos.data(), bytes);
    backend.upload(static_cast<float*>(sin_.data()) + first, angles.sin.data(), bytes);
    n_made_ = end;
}

kernels::RopeTable RopeTables::view() const {
    return {static_cast<const float*>(cos_.data()), static_cast<const float*>(sin_.data()),
            n_positions_};
}

}  // namespace quarot::model
