// The kernels behind LinearProduct, one launch function each; linear_product.cpp chooses.
#pragma once

#include "kernels/cuda/linear_product.h"

namespace quarot::kernels::cuda {

void launch_general(const LinearProduct& product, Stream stream);
// Products of the same tokens by weights of the same bits, in one launch; 1 to kMostStreamed.
inline constexpr int kMostStreamed = 3;
void launch_stream(std::span<const LinearProduct> products, Stream stream);
void launch_groups(const LinearProduct& product, Stream stream);
void launch_tile(const LinearProduct& product, LinearKernel kernel, Stream stream);

}  // namespace quarot::kernels::cuda
