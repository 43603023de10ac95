// fp32 to and from the 16-bit float formats, round to nearest even.
#pragma once

#include <bit>
#include <cstdint>
#include <span>

#include "tensor/dtype.h"

namespace quarot {

inline float bf16_to_f32(uint16_t bits) {
    return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
}

inline uint16_t f32_to_bf16(float value) {
    const auto bits = std::bit_cast<uint32_t>(value);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>((bits >> 16) | 0x40u);
    return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

float f16_to_f32(uint16_t bits);
uint16_t f32_to_f16(float value);

// Widens n = out.size() stored elements of a float dtype (F32, F16, BF16) to fp32.
void widen(DType dtype, const void* stored, std::span<float> out);

// Rounds fp32 to a float dtype; `stored` has room for values.size() elements.
void narrow(DType dtype, std::span<const float> values, void* stored);

}  // namespace quarot
