// What the operations on single rows mean: norm, RoPE, activation and the orthogonal transform,
// each in double and rounded to fp32 once.
#pragma once

#include <utility>

#include "core/check.h"
#include "core/thread_pool.h"
#include "kernels/ops.h"

namespace quarot::kernels {

class ReferenceTransform final : public Transform {
  public:
    ReferenceTransform(linalg::Mixer mixer, int64_t inner, DType storage)
        : Transform(mixer.n, inner), mixer_(std::move(mixer)), storage_(storage) {
        QUAROT_CHECK(storage == DType::F32 || storage == DType::F16, "{}", name_of(storage));
    }
    const linalg::Mixer& mixer() const { return mixer_; }
    DType storage() const { return storage_; }

  private:
    linalg::Mixer mixer_;
    DType storage_;
};

void reference_scale(ThreadPool& pool, const ScaleArgs& args);
void reference_norm(ThreadPool& pool, const NormArgs& args);
void reference_add(ThreadPool& pool, const Rows& to, const Rows& from);
void reference_find_non_finite(ThreadPool& pool, const Rows& in, SiteNote note);
void reference_rope(ThreadPool& pool, const RopeArgs& args);
void reference_activate(ThreadPool& pool, const ActivateArgs& args);
void reference_transform(ThreadPool& pool, const ReferenceTransform& transform, const Rows& rows);

}  // namespace quarot::kernels
