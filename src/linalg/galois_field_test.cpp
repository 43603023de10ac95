#include "linalg/galois_field.h"

#include <gtest/gtest.h>

namespace quarot::linalg {
namespace {

TEST(GaloisField, ExistsExactlyAtPowersOfOddPrimes) {
    for (int64_t order : {3, 5, 7, 9, 25, 27, 49, 81, 121, 125, 343, 461, 625, 729, 2197}) {
        EXPECT_TRUE(GaloisField::make(order)) << order;
    }
    for (int64_t order : {-3, 0, 1, 2, 4, 8, 15, 21, 45, 63, 75, 147, 1024, 4099}) {
        EXPECT_FALSE(GaloisField::make(order)) << order;
    }
}

TEST(GaloisField, PrimeFieldIsArithmeticModuloP) {
    const auto field = GaloisField::make(13);
    ASSERT_TRUE(field && field->is_prime_field());
    EXPECT_EQ(field->subtract(3, 5), 11);
    EXPECT_EQ(field->subtract(5, 3), 2);
    for (int64_t a = 1; a < 13; ++a) EXPECT_EQ(field->quadratic_character(a * a % 13), 1) << a;
    EXPECT_EQ(field->quadratic_character(2), -1);
    EXPECT_EQ(field->quadratic_character(0), 0);
}

TEST(GaloisField, SubtractionInExtensionFieldIsDigitwise) {
    const auto field = GaloisField::make(27);
    ASSERT_TRUE(field);
    EXPECT_FALSE(field->is_prime_field());
    EXPECT_EQ(field->characteristic(), 3);
    EXPECT_EQ(field->subtract(0, 1 + 2 * 3 + 0 * 9), 2 + 1 * 3 + 0 * 9);
    for (int64_t a = 0; a < 27; ++a) EXPECT_EQ(field->subtract(a, a), 0);
}

// sum over x of chi(x) chi(x + c) = -1 for c != 0: what Paley's constructions rest on.
TEST(GaloisField, CharacterHasTheCorrelationsOfSquares) {
    for (int64_t order : {9, 25, 27, 49, 125, 343}) {
        const auto field = GaloisField::make(order);
        ASSERT_TRUE(field);
        for (int64_t c = 1; c < order; ++c) {
            int correlation = 0;
            for (int64_t x = 0; x < order; ++x) {
                correlation += field->quadratic_character(x) *
                               field->quadratic_character(field->subtract(x, c));
            }
            ASSERT_EQ(correlation, -1) << order << " " << c;
        }
    }
}

}  // namespace
}  // namespace quarot::linalg
