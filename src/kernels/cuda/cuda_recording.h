// Steps captured as CUDA graphs.
#pragma once

#include <functional>
#include <memory>

#include "kernels/cuda/stream.h"
#include "kernels/ops.h"

namespace quarot::kernels::cuda {

// What `enqueue` puts on the stream is captured instead of run: one launch for all its kernels.
// What it throws comes through.
std::unique_ptr<Recording> capture(const std::function<void()>& enqueue, Stream stream);

}  // namespace quarot::kernels::cuda
