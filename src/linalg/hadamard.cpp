#include "linalg/hadamard.h"

#include <bit>

#include "linalg/galois_field.h"
#include "linalg/paley.h"
#include "linalg/williamson.h"

namespace quarot::linalg {
namespace {

enum class FieldKind { Prime, PrimePower };

SignMatrix sylvester(int64_t n) {
    SignMatrix h{.order = n, .signs = std::vector<int8_t>(n * n)};
    for (int64_t i = 0; i < n; ++i) {
        for (int64_t j = 0; j < n; ++j) {
            h.at(i, j) = std::popcount(static_cast<uint64_t>(i & j)) % 2 == 0 ? 1 : -1;
        }
    }
    return h;
}

bool is_wanted(const std::optional<GaloisField>& field, FieldKind kind) {
    return field && field->is_prime_field() == (kind == FieldKind::Prime);
}

std::optional<SignMatrix> paley(int64_t n, FieldKind kind) {
    const int64_t q_one = n - 1;
    if (q_one % 4 == 3) {
        const auto field = GaloisField::make(q_one);
        if (is_wanted(field, kind)) return paley_one(*field);
    }
    const int64_t q_two = n / 2 - 1;
    if (q_two % 4 == 1) {
        const auto field = GaloisField::make(q_two);
        if (is_wanted(field, kind)) return paley_two(*field);
    }
    return std::nullopt;
}

SignMatrix kronecker(const SignMatrix& a, const SignMatrix& b) {
    const int64_t n = a.order * b.order;
    SignMatrix h{.order = n, .signs = std::vector<int8_t>(n * n)};
    for (int64_t i = 0; i < n; ++i) {
        for (int64_t j = 0; j < n; ++j) {
            const int product = a.at(i / b.order, j / b.order) * b.at(i % b.order, j % b.order);
            h.at(i, j) = static_cast<int8_t>(product);
        }
    }
    return h;
}

std::optional<SignMatrix> kronecker_product_of_order(int64_t n) {
    for (int64_t factor = 2; factor * factor <= n; ++factor) {
        if (n % factor != 0) continue;
        const auto first = hadamard_matrix(factor);
        if (!first) continue;
        const auto second = hadamard_matrix(n / factor);
        if (second) return kronecker(*first, *second);
    }
    return std::nullopt;
}

}  // namespace

std::optional<SignMatrix> hadamard_matrix(int64_t n) {
    if (n < 1 || n > kMaxHadamardOrder) return std::nullopt;
    if (std::has_single_bit(static_cast<uint64_t>(n))) return sylvester(n);
    if (n % 4 != 0) return std::nullopt;
    if (auto h = paley(n, FieldKind::Prime)) return h;
    if (auto h = williamson(n)) return h;
    if (auto h = paley(n, FieldKind::PrimePower)) return h;
    return kronecker_product_of_order(n);
}

}  // namespace quarot::linalg
