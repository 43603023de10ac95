// The fast CPU backend: one set of kernels per instruction set, chosen when the backend is made.
#pragma once

#include <memory>

#include "kernels/backend.h"

namespace quarot::kernels {

std::unique_ptr<Backend> make_cpu_backend(const BackendOptions& options);

}  // namespace quarot::kernels
