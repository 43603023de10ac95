// The backend of NVIDIA GPUs.
#pragma once

#include <memory>

#include "kernels/backend.h"

namespace quarot::kernels {

// ordinal: which GPU. Error{Device} where there is none, its driver is too old or missing, or its
// compute capability is below 8.0.
std::unique_ptr<Backend> make_cuda_backend(int ordinal, const BackendOptions& options);

}  // namespace quarot::kernels
