// A loop over weights in the vector instructions of the machine it runs on, and the sum of what it
// writes. Every form gives the same bits: plain arithmetic, added up in one fixed order.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

#include "quantize/rounding/grid.h"

namespace quarot::quantize {

// A compiled form of a loop.
template <class Kernel>
struct LoopVariant {
    std::string_view name;
    Kernel run = nullptr;
};

// Loop::run is inlined into a function of each instruction set.
template <class Loop, class Kernel>
struct CompiledLoop;

template <class Loop, class... Args>
struct CompiledLoop<Loop, void (*)(Args...)> {
    using Kernel = void (*)(Args...);

    static void plain(Args... args) { Loop::run(args...); }
#if defined(__x86_64__)
    [[gnu::target("avx2")]] static void avx2(Args... args) {
        Loop::run(args...);
    }
    [[gnu::target("avx512f")]] static void avx512(Args... args) {
        Loop::run(args...);
    }
#endif

    // Those that this machine can run, best last.
    static std::vector<LoopVariant<Kernel>> variants() {
        std::vector<LoopVariant<Kernel>> found = {{"plain", plain}};
#if defined(__x86_64__)
        if (__builtin_cpu_supports("avx2")) found.push_back({"avx2", avx2});
        if (__builtin_cpu_supports("avx512f")) found.push_back({"avx512f", avx512});
#endif
        return found;
    }
};

// The code nearest to a weight. Adding 1.5 * 2^23 rounds half to even without the rounding
// instruction that the oldest machines lack; clamping first is the same as clamping the rounded
// value, the limits being integers.
[[gnu::always_inline]] inline float nearest_code(float weight, const Grid& grid) {
    constexpr float kRounder = 12582912.0f;
    float q = weight / grid.scale;
    q = q < grid.low ? grid.low : q;
    q = q > grid.high ? grid.high : q;
    return (q + kRounder) - kRounder;
}

inline constexpr size_t kErrorBlock = 128;  // weights between two looks at the limit

// In Lanes sums side by side, a power of two of them.
template <size_t Lanes, class T>
T sum_of_block(const std::array<T, kErrorBlock>& values) {
    std::array<T, Lanes> lanes{};
    for (size_t i = 0; i < kErrorBlock; i += Lanes) {
        for (size_t lane = 0; lane < Lanes; ++lane) lanes[lane] += values[i + lane];
    }
    for (size_t half = Lanes / 2; half > 0; half /= 2) {
        for (size_t lane = 0; lane < half; ++lane) lanes[lane] += lanes[lane + half];
    }
    return lanes[0];
}

// The sum of n errors, which write(first, count, errors) gives a block at a time; as soon as it
// exceeds `limit`, what was added so far.
template <class T, size_t Lanes, class Write>
double sum_of_errors(size_t n, double limit, const Write& write) {
    double sum = 0.0;
    alignas(64) std::array<T, kErrorBlock> errors;
    for (size_t first = 0; first < n && sum <= limit; first += kErrorBlock) {
        const size_t count = std::min(kErrorBlock, n - first);
        write(first, count, errors.data());
        std::fill(errors.begin() + static_cast<std::ptrdiff_t>(count), errors.end(), T{0});
        sum += static_cast<double>(sum_of_block<Lanes>(errors));
    }
    return sum;
}

}  // namespace quarot::quantize
