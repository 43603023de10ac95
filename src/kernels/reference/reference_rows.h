// What the operations on single rows mean: norm, RoPE, SwiGLU and the orthogonal transform, each in
// double and rounded to fp32 once.
#pragma once

#include <utility>

#include "core/thread_pool.h"
#include "kernels/ops.h"

namespace quarot::kernels {

class ReferenceTransform final : public Transform {
  public:
    ReferenceTransform(linalg::Mixer mixer, int64_t inner)
        : Transform(mixer.n, inner), mixer_(std::move(mixer)) {}
    const linalg::Mixer& mixer() const { return mixer_; }

  private:
    linalg::Mixer mixer_;
};

void reference_rms_norm(ThreadPool& pool, const RmsNormArgs& args);
void reference_rope(ThreadPool& pool, const RopeArgs& args);
void reference_silu_mul(ThreadPool& pool, const SiluMulArgs& args);
void reference_transform(ThreadPool& pool, const ReferenceTransform& transform, const Rows& rows);

}  // namespace quarot::kernels
