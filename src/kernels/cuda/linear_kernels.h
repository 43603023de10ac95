// The kernels behind LinearProduct, one launch function each; linear_product.cpp chooses.
#pragma once

#include "kernels/cuda/linear_product.h"

namespace quarot::kernels::cuda {

void launch_general(const LinearProduct& product, Stream stream);
void launch_stream(const LinearProduct& product, Stream stream);
void launch_groups(const LinearProduct& product, Stream stream);
void launch_tile(const LinearProduct& product, LinearKernel kernel, Stream stream);

}  // namespace quarot::kernels::cuda
