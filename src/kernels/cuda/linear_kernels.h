// The kernels behind LinearProduct, one launch function each; linear_product.cpp chooses.
#pragma once

#include "kernels/cuda/linear_product.h"

namespace quarot::kernels::cuda {

// Products of the same tokens by weights of the same storage, in one launch.
inline constexpr int kMostTogether = 3;

// Columns of a row that products of multiples sum by themselves.
inline constexpr int kSegmentColumns = 512;
// Shared memory that their kernels need.
inline constexpr int64_t kMultipleBytes = 112 * 1024;

// Tokens of a launch_few.
inline constexpr int kMostFewTokens = 8;

void launch_general(const LinearProduct& product, Stream stream);
void launch_stream(std::span<const LinearProduct> products, Stream stream);
// Products for which takes_few holds.
void launch_few(std::span<const LinearProduct> products, Stream stream);
void launch_groups(const LinearProduct& product, Stream stream);
// Products for which takes_group_stream holds, with groups alike.
void launch_group_stream(std::span<const LinearProduct> products, Stream stream);
void launch_group_tile(const LinearProduct& product, Stream stream);
// Products of tokens in multiples, with groups alike.
void launch_multiple_stream(std::span<const LinearProduct> products, Stream stream);
void launch_multiple_tile(const LinearProduct& product, Stream stream);
void launch_multiples_sm90(std::span<const LinearProduct> products, Stream stream);
void launch_tile(std::span<const LinearProduct> products, LinearKernel kernel, Stream stream);

// At most kMostFewTokens tokens, whose codes take little room beside a ring of weights.
bool takes_few(const LinearProduct& product, const DeviceInfo& device);
// Few and many tokens with small groups (linear_group_pieces.h).
bool takes_group_stream(const LinearProduct& product, const DeviceInfo& device);
bool takes_group_tile(const LinearProduct& product, const DeviceInfo& device);
// Neither weights nor activations have zero points.
bool is_symmetric(const LinearProduct& product);

}  // namespace quarot::kernels::cuda
