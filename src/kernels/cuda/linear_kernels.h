// The kernels behind LinearProduct, one launch function each; linear_product.cpp chooses.
#pragma once

#include "kernels/cuda/linear_product.h"

namespace quarot::kernels::cuda {

// Products of the same tokens by weights of the same storage, in one launch.
inline constexpr int kMostTogether = 3;

void launch_general(const LinearProduct& product, Stream stream);
void launch_stream(std::span<const LinearProduct> products, Stream stream);
void launch_groups(const LinearProduct& product, Stream stream);
void launch_tile(std::span<const LinearProduct> products, LinearKernel kernel, Stream stream);

// Neither weights nor activations have offsets.
bool is_symmetric(const LinearProduct& product);

}  // namespace quarot::kernels::cuda
