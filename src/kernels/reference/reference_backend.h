// What each operation means: plain loops, double accumulation, no layout of its own.
#pragma once

#include <memory>

#include "kernels/ops.h"

namespace quarot::kernels {

std::unique_ptr<Backend> make_reference_backend(int n_threads);

}  // namespace quarot::kernels
