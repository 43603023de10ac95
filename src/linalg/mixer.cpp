#include "linalg/mixer.h"

#include <fmt/format.h>

#include <array>
#include <bit>
#include <cmath>
#include <numbers>
#include <optional>

#include "core/check.h"
#include "linalg/hadamard.h"

namespace quarot::linalg {
namespace {

// The dense orders of published rotated weights, in the order in which they are tried there.
constexpr std::array<int64_t, 11> kPublishedOrders = {172, 156, 140, 108, 60, 52,
                                                      36,  28,  40,  20,  12};

bool is_power_of_two(int64_t n) {
    return std::has_single_bit(static_cast<uint64_t>(n));
}

int64_t odd_part(int64_t n) {
    return n >> std::countr_zero(static_cast<uint64_t>(n));
}

Mixer pure_sylvester(int64_t n) {
    return {.kind = MixerKind::Hadamard, .n = n, .dense_order = 1, .dense = {1.0}};
}

Mixer with_dense_factor(int64_t n, const SignMatrix& h) {
    return {.kind = MixerKind::Hadamard,
            .n = n,
            .dense_order = h.order,
            .dense = std::vector<double>(h.signs.begin(), h.signs.end())};
}

std::optional<SignMatrix> published_factor(int64_t n) {
    for (int64_t order : kPublishedOrders) {
        if (n % order == 0 && is_power_of_two(n / order)) return hadamard_matrix(order);
    }
    return std::nullopt;
}

// The smallest K with n / K a power of two: the dense step costs n K.
std::optional<SignMatrix> cheapest_factor(int64_t n) {
    for (int64_t order = odd_part(n); order <= kMaxHadamardOrder; order *= 2) {
        if (n % order != 0) break;
        if (auto h = hadamard_matrix(order)) return h;
    }
    return std::nullopt;
}

std::optional<Mixer> hadamard_mixer(int64_t n) {
    if (is_power_of_two(n)) return pure_sylvester(n);
    if (const auto h = published_factor(n)) return with_dense_factor(n, *h);
    if (const auto h = cheapest_factor(n)) return with_dense_factor(n, *h);
    return std::nullopt;
}

// cas(2 pi j k / q) = cos + sin. The angle is reduced in integers, so it is exact to one rounding.
std::vector<double> hartley_matrix(int64_t q) {
    std::vector<double> cas(q);
    for (int64_t i = 0; i < q; ++i) {
        const double angle =
            2.0 * std::numbers::pi * static_cast<double>(i) / static_cast<double>(q);
        cas[i] = std::cos(angle) + std::sin(angle);
    }
    std::vector<double> matrix(q * q);
    for (int64_t j = 0; j < q; ++j) {
        for (int64_t k = 0; k < q; ++k) matrix[j * q + k] = cas[j * k % q];
    }
    return matrix;
}

}  // namespace

const char* name_of(MixerKind kind) {
    switch (kind) {
        case MixerKind::Identity:
            return "identity";
        case MixerKind::Hadamard:
            return "hadamard";
        case MixerKind::Hartley:
            return "hartley";
    }
    return "identity";
}

std::string Mixer::describe() const {
    if (kind == MixerKind::Identity) return "identity";
    const int exponent = std::countr_zero(static_cast<uint64_t>(sylvester_order()));
    if (dense_order == 1) return fmt::format("Hadamard 2^{}", exponent);
    const char* name = kind == MixerKind::Hadamard ? "Hadamard" : "Hartley";
    return fmt::format("{} {} x 2^{}", name, dense_order, exponent);
}

Mixer identity_mixer(int64_t n) {
    QUAROT_CHECK(n >= 1, "n = {}", n);
    return {.kind = MixerKind::Identity, .n = n, .dense_order = 1, .dense = {1.0}};
}

Mixer make_hadamard_or_identity(int64_t n) {
    QUAROT_CHECK(n >= 1, "n = {}", n);
    if (n == 1) return identity_mixer(n);
    return hadamard_mixer(n).value_or(identity_mixer(n));
}

Mixer make_mixer(int64_t n) {
    QUAROT_CHECK(n >= 1, "n = {}", n);
    Mixer mixer = make_hadamard_or_identity(n);
    const int64_t q = odd_part(n);
    if (mixer.kind == MixerKind::Hadamard || q == 1 || q > kMaxHadamardOrder) return mixer;
    return {.kind = MixerKind::Hartley, .n = n, .dense_order = q, .dense = hartley_matrix(q)};
}

Mixer transposed(const Mixer& mixer) {
    Mixer result = mixer;
    if (mixer.kind == MixerKind::Identity) return result;
    const int64_t n = mixer.dense_order;
    for (int64_t i = 0; i < n; ++i) {
        for (int64_t j = 0; j < n; ++j) result.dense[j * n + i] = mixer.dense[i * n + j];
    }
    return result;
}

}  // namespace quarot::linalg
