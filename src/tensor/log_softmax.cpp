#include "tensor/log_softmax.h"

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>

// One body for several instruction sets; which one runs is chosen when the program is loaded,
// before a thread sanitizer works.
#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
#define QUAROT_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define QUAROT_CLONES
#endif

namespace quarot {

namespace {

// Sums run in lanes so that the compiler can use vectors and the order stays fixed.
constexpr size_t kLanes = 16;

// exp(x) for x <= 0 in fp64 to about 1e-12 relative: 2^k times a polynomial of the rest.
// Plain arithmetic only, so that the loop around it becomes vector code.
inline double exp_nonpositive(double x) {
    constexpr double kLog2e = 1.4426950408889634;
    constexpr double kLn2High = 6.93147180369123816490e-01;
    constexpr double kLn2Low = 1.90821492927058770002e-10;
    constexpr double kRound = 6755399441055744.0;  // 1.5 * 2^52: adding it rounds to an integer
    x = x < -700.0 ? -700.0 : x;
    const double shifted = x * kLog2e + kRound;
    const double k = shifted - kRound;
    const double r = (x - k * kLn2High) - k * kLn2Low;
    double p = 1.0 / 39916800.0;
    p = p * r + 1.0 / 3628800.0;
    p = p * r + 1.0 / 362880.0;
    p = p * r + 1.0 / 40320.0;
    p = p * r + 1.0 / 5040.0;
    p = p * r + 1.0 / 720.0;
    p = p * r + 1.0 / 120.0;
    p = p * r + 1.0 / 24.0;
    p = p * r + 1.0 / 6.0;
    p = p * r + 0.5;
    p = p * r + 1.0;
    p = p * r + 1.0;
    const auto exponent = std::bit_cast<uint64_t>(shifted) << 52;
    return std::bit_cast<double>(std::bit_cast<uint64_t>(p) + exponent);
}

template <size_t N>
double sum_of(const std::array<double, N>& lanes) {
    double sum = 0.0;
    for (const double lane : lanes) sum += lane;
    return sum;
}

}  // namespace

QUAROT_CLONES double log_sum_exp(std::span<const float> logits) {
    const float* x = logits.data();
    const size_t n = logits.size();
    float max = x[0];
    for (size_t i = 1; i < n; ++i) max = x[i] > max ? x[i] : max;
    const auto shift = static_cast<double>(max);
    std::array<double, kLanes> lanes{};
    size_t i = 0;
    for (; i + kLanes <= n; i += kLanes) {
        for (size_t lane = 0; lane < kLanes; ++lane) {
            lanes[lane] += exp_nonpositive(static_cast<double>(x[i + lane]) - shift);
        }
    }
    double sum = sum_of(lanes);
    for (; i < n; ++i) sum += exp_nonpositive(static_cast<double>(x[i]) - shift);
    return shift + std::log(sum);
}

QUAROT_CLONES double kl_divergence(std::span<const float> p, double p_log_sum,
                                   std::span<const float> q, double q_log_sum) {
    std::array<double, kLanes> lanes{};
    size_t i = 0;
    const auto term = [&](size_t index) {
        const double log_p = static_cast<double>(p[index]) - p_log_sum;
        const double log_q = static_cast<double>(q[index]) - q_log_sum;
        return exp_nonpositive(log_p < 0.0 ? log_p : 0.0) * (log_p - log_q);
    };
    for (; i + kLanes <= p.size(); i += kLanes) {
        for (size_t lane = 0; lane < kLanes; ++lane) lanes[lane] += term(i + lane);
    }
    double sum = sum_of(lanes);
    for (; i < p.size(); ++i) sum += term(i);
    return sum;
}

}  // namespace quarot
