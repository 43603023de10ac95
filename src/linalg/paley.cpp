#include "linalg/paley.h"

#include "core/check.h"

namespace quarot::linalg {
namespace {

SignMatrix zero_matrix(int64_t order) {
    return {.order = order, .signs = std::vector<int8_t>(order * order, 0)};
}

// chi(i - j) at (i + 1, j + 1); row 0 and column 0 stay zero.
SignMatrix bordered_character_matrix(const GaloisField& field) {
    SignMatrix matrix = zero_matrix(field.order() + 1);
    for (int64_t i = 0; i < field.order(); ++i) {
        for (int64_t j = 0; j < field.order(); ++j) {
            matrix.at(i + 1, j + 1) = field.quadratic_character(field.subtract(i, j));
        }
    }
    return matrix;
}

// Zero diagonal, border +1, C C^T = q I; symmetric because -1 is a square.
SignMatrix symmetric_conference_matrix(const GaloisField& field) {
    SignMatrix c = bordered_character_matrix(field);
    for (int64_t i = 1; i < c.order; ++i) c.at(0, i) = c.at(i, 0) = 1;
    return c;
}

}  // namespace

SignMatrix paley_one(const GaloisField& field) {
    QUAROT_CHECK(field.order() % 4 == 3, "q = {}", field.order());
    SignMatrix h = bordered_character_matrix(field);
    for (int64_t i = 0; i < h.order; ++i) {
        h.at(0, i) = -1;
        h.at(i, 0) = 1;
        h.at(i, i) = 1;
    }
    return h;
}

SignMatrix paley_two(const GaloisField& field) {
    QUAROT_CHECK(field.order() % 4 == 1, "q = {}", field.order());
    const SignMatrix c = symmetric_conference_matrix(field);
    const int64_t m = c.order;
    SignMatrix h = zero_matrix(2 * m);
    for (int64_t i = 0; i < m; ++i) {
        for (int64_t j = 0; j < m; ++j) {
            const int identity = i == j ? 1 : 0;
            const auto plus = static_cast<int8_t>(c.at(i, j) + identity);
            const auto minus = static_cast<int8_t>(c.at(i, j) - identity);
            h.at(i, j) = plus;
            h.at(i, j + m) = minus;
            h.at(i + m, j) = minus;
            h.at(i + m, j + m) = static_cast<int8_t>(-plus);
        }
    }
    return h;
}

}  // namespace quarot::linalg
