// Random integers as CPython's `random` module draws them, so that calibration windows chosen by
// the original program can be chosen again.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace quarot::quantize {

// MT19937 seeded by init_by_array([seed]) (Matsumoto and Nishimura, 2002), as random.seed(int).
class PythonRandom {
  public:
    explicit PythonRandom(uint32_t seed);

    uint32_t next();
    // random.randint(0, last): uniform, both ends included; draws of bit_length(last + 1) bits are
    // repeated until one fits. last < 2^32 - 1.
    uint32_t up_to(uint32_t last);

  private:
    static constexpr std::size_t kWords = 624;
    void refill();

    std::array<uint32_t, kWords> state_{};
    std::size_t used_ = kWords;
};

}  // namespace quarot::quantize
