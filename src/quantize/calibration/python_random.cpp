#include "quantize/calibration/python_random.h"

#include <bit>

namespace quarot::quantize {

PythonRandom::PythonRandom(uint32_t seed) {
    state_[0] = 19650218u;
    for (uint32_t i = 1; i < kWords; ++i) {
        state_[i] = 1812433253u * (state_[i - 1] ^ (state_[i - 1] >> 30)) + i;
    }
    // The key is the one word `seed`. Both rounds start at word 1 and pass the end once.
    std::size_t i = 1;
    const auto advance = [&] {
        if (++i < kWords) return;
        state_[0] = state_[kWords - 1];
        i = 1;
    };
    const auto mixed = [&] { return state_[i - 1] ^ (state_[i - 1] >> 30); };
    for (std::size_t k = 0; k < kWords; ++k, advance()) {
        state_[i] = (state_[i] ^ (mixed() * 1664525u)) + seed;
    }
    for (std::size_t k = 1; k < kWords; ++k, advance()) {
        state_[i] = (state_[i] ^ (mixed() * 1566083941u)) - static_cast<uint32_t>(i);
    }
    state_[0] = 0x80000000u;
}

void PythonRandom::refill() {
    constexpr std::size_t kMiddle = 397;
    for (std::size_t i = 0; i < kWords; ++i) {
        const uint32_t y = (state_[i] & 0x80000000u) | (state_[(i + 1) % kWords] & 0x7fffffffu);
        const uint32_t twist = (y & 1u) != 0 ? 0x9908b0dfu : 0u;
        state_[i] = state_[(i + kMiddle) % kWords] ^ (y >> 1) ^ twist;
    }
    used_ = 0;
}

uint32_t PythonRandom::next() {
    if (used_ == kWords) refill();
    uint32_t y = state_[used_++];
    y ^= y >> 11;
    y ^= (y << 7) & 0x9d2c5680u;
    y ^= (y << 15) & 0xefc60000u;
    return y ^ (y >> 18);
}

uint32_t PythonRandom::up_to(uint32_t last) {
    const uint32_t n = last + 1;
    const int unused_bits = 32 - std::bit_width(n);
    uint32_t draw = next() >> unused_bits;
    while (draw >= n) draw = next() >> unused_bits;
    return draw;
}

}  // namespace quarot::quantize
