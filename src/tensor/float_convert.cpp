#include "tensor/float_convert.h"

#include <cstring>

#include "core/check.h"

namespace quarot {

float f16_to_f32(uint16_t bits) {
    const uint32_t sign = static_cast<uint32_t>(bits & 0x8000u) << 16;
    const uint32_t exponent = (bits >> 10) & 0x1fu;
    const uint32_t fraction = bits & 0x3ffu;
    if (exponent == 31) return std::bit_cast<float>(sign | 0x7f800000u | (fraction << 13));
    if (exponent != 0)
        return std::bit_cast<float>(sign | ((exponent + 112u) << 23) | (fraction << 13));
    const float magnitude = static_cast<float>(fraction) * 0x1p-24f;  // zero and subnormals, exact
    return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(magnitude));
}

uint16_t f32_to_f16(float value) {
    const auto bits = std::bit_cast<uint32_t>(value);
    const auto sign = static_cast<uint16_t>((bits >> 16) & 0x8000u);
    const uint32_t magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u) return static_cast<uint16_t>(sign | 0x7e00u);
    if (magnitude >= 0x477ff000u)
        return static_cast<uint16_t>(sign | 0x7c00u);  // rounds to infinity
    if (magnitude < 0x38800000u) {
        // Adding 0.5 puts the subnormal's last bit at the sum's last bit; the add rounds to even.
        const float sum = std::bit_cast<float>(magnitude) + 0.5f;
        return static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(sum) - 0x3f000000u));
    }
    const uint32_t rounded = magnitude + 0xfffu + ((magnitude >> 13) & 1u);
    return static_cast<uint16_t>(sign | ((rounded - 0x38000000u) >> 13));
}

void widen(DType dtype, const void* stored, std::span<float> out) {
    if (dtype == DType::F32) {
        std::memcpy(out.data(), stored, out.size_bytes());
        return;
    }
    QUAROT_CHECK(is_float_weight(dtype), "{}", name_of(dtype));
    const auto* half = static_cast<const uint16_t*>(stored);
    if (dtype == DType::BF16) {
        for (size_t i = 0; i < out.size(); ++i) out[i] = bf16_to_f32(half[i]);
    } else {
        for (size_t i = 0; i < out.size(); ++i) out[i] = f16_to_f32(half[i]);
    }
}

void narrow(DType dtype, std::span<const float> values, void* stored) {
    if (dtype == DType::F32) {
        std::memcpy(stored, values.data(), values.size_bytes());
        return;
    }
    QUAROT_CHECK(is_float_weight(dtype), "{}", name_of(dtype));
    auto* half = static_cast<uint16_t*>(stored);
    if (dtype == DType::BF16) {
        for (size_t i = 0; i < values.size(); ++i) half[i] = f32_to_bf16(values[i]);
    } else {
        for (size_t i = 0; i < values.size(); ++i) half[i] = f32_to_f16(values[i]);
    }
}

}  // namespace quarot
