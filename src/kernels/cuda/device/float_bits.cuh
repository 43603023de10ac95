// Integer sums that are floats without a conversion: those that start at the bits of 1.5 * 2^23.
#pragma once

#include <cstdint>

namespace quarot::kernels::cuda {

// The float 1.5 * 2^23 and its bits: bits + n are those of the float + n for |n| < 2^22.
inline constexpr float kFloatStart = 12582912.0f;
inline constexpr int32_t kFloatBits = 0x4B400000;

}  // namespace quarot::kernels::cuda
