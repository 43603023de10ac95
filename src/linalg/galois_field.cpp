#include "linalg/galois_field.h"

#include "core/check.h"

namespace quarot::linalg {
namespace {

int64_t smallest_prime_factor(int64_t n) {
    for (int64_t factor = 2; factor * factor <= n; ++factor) {
        if (n % factor == 0) return factor;
    }
    return n;
}

bool is_power_of(int64_t n, int64_t base) {
    while (n % base == 0) n /= base;
    return n == 1;
}

// a * x modulo the monic polynomial x^k - tail, elements coded as in the header.
int64_t multiply_by_x(int64_t a, int64_t tail, int64_t order, int64_t p) {
    const int64_t top_weight = order / p;
    const int64_t top_digit = a / top_weight;
    int64_t shifted = a % top_weight * p;
    int64_t product = 0;
    for (int64_t weight = 1; weight < order; weight *= p) {
        const int64_t digit = shifted % p + top_digit * (tail % p);
        product += digit % p * weight;
        shifted /= p;
        tail /= p;
    }
    return product;
}

// If the powers of x modulo x^k - tail run through every non-zero element, x generates the
// multiplicative group (so the polynomial is irreducible) and the squares are its even powers.
// Empty if x comes back to 1, or dies, before that.
std::vector<int8_t> characters_from_powers_of_x(int64_t tail, int64_t order, int64_t p) {
    std::vector<int8_t> characters(order, 0);
    int64_t power = 1;
    for (int64_t exponent = 0; exponent < order - 1; ++exponent) {
        if (power == 0 || characters[power] != 0) return {};
        characters[power] = exponent % 2 == 0 ? 1 : -1;
        power = multiply_by_x(power, tail, order, p);
    }
    return characters;
}

}  // namespace

std::optional<GaloisField> GaloisField::make(int64_t order) {
    if (order < 3 || order > kMaxOrder) return std::nullopt;
    const int64_t characteristic = smallest_prime_factor(order);
    if (characteristic == 2 || !is_power_of(order, characteristic)) return std::nullopt;
    return GaloisField(order, characteristic);
}

GaloisField::GaloisField(int64_t order, int64_t characteristic)
    : order_(order), characteristic_(characteristic) {
    for (int64_t tail = 1; tail < order && characters_.empty(); ++tail) {
        characters_ = characters_from_powers_of_x(tail, order, characteristic);
    }
    QUAROT_CHECK(!characters_.empty(), "no primitive polynomial for GF({})", order);
}

int64_t GaloisField::subtract(int64_t a, int64_t b) const {
    int64_t difference = 0;
    for (int64_t weight = 1; weight < order_; weight *= characteristic_) {
        const int64_t digit = (a % characteristic_ - b % characteristic_ + characteristic_);
        difference += digit % characteristic_ * weight;
        a /= characteristic_;
        b /= characteristic_;
    }
    return difference;
}

}  // namespace quarot::linalg
