#include "linalg/hadamard.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <string>

namespace quarot::linalg {
namespace {

// CRC-32 (reflected, polynomial edb88320) of the row-major string of '+' and '-'.
uint32_t crc32_of_signs(const SignMatrix& h) {
    uint32_t crc = ~0u;
    for (int8_t sign : h.signs) {
        crc ^= sign > 0 ? '+' : '-';
        for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0u);
    }
    return ~crc;
}

// One bit a sign, so that all pairs of rows are compared in little time.
std::vector<std::vector<uint64_t>> rows_as_bits(const SignMatrix& h) {
    std::vector<std::vector<uint64_t>> rows(h.order, std::vector<uint64_t>((h.order + 63) / 64));
    for (int64_t i = 0; i < h.order; ++i) {
        for (int64_t j = 0; j < h.order; ++j) {
            rows[i][j / 64] |= uint64_t{h.at(i, j) < 0} << (j % 64);
        }
    }
    return rows;
}

int64_t count_differences(const std::vector<uint64_t>& a, const std::vector<uint64_t>& b) {
    int64_t count = 0;
    for (size_t i = 0; i < a.size(); ++i) count += std::popcount(a[i] ^ b[i]);
    return count;
}

::testing::AssertionResult is_hadamard(const SignMatrix& h) {
    if (std::ssize(h.signs) != h.order * h.order) {
        return ::testing::AssertionFailure() << "wrong size " << h.signs.size();
    }
    if (!std::ranges::all_of(h.signs, [](int8_t s) { return s == 1 || s == -1; })) {
        return ::testing::AssertionFailure() << "an entry is neither +1 nor -1";
    }
    const auto rows = rows_as_bits(h);
    for (int64_t i = 0; i < h.order; ++i) {
        for (int64_t j = 0; j < i; ++j) {
            if (2 * count_differences(rows[i], rows[j]) != h.order) {
                return ::testing::AssertionFailure() << "rows " << i << " and " << j;
            }
        }
    }
    return ::testing::AssertionSuccess();
}

const std::vector<int64_t> kUnreachable = {188, 236, 260, 268, 292, 324, 356, 372, 376,
                                           404, 412, 428, 436, 452, 472, 476, 508, 520};

TEST(Hadamard, EveryReachableOrderUpTo520HasOrthogonalRows) {
    for (int64_t n = 4; n <= 520; n += 4) {
        if (std::ranges::count(kUnreachable, n)) continue;
        const auto h = hadamard_matrix(n);
        ASSERT_TRUE(h) << n;
        ASSERT_EQ(h->order, n);
        ASSERT_TRUE(is_hadamard(*h)) << n;
    }
}

TEST(Hadamard, LargerOrdersHaveOrthogonalRows) {
    for (int64_t n : {1, 2, 736, 924, 928, 1024, 1252, 2028}) {
        const auto h = hadamard_matrix(n);
        ASSERT_TRUE(h) << n;
        EXPECT_TRUE(is_hadamard(*h)) << n;
    }
}

TEST(Hadamard, ACorruptedMatrixIsNotTakenForOne) {
    SignMatrix h = *hadamard_matrix(28);
    h.at(3, 5) = static_cast<int8_t>(-h.at(3, 5));
    EXPECT_FALSE(is_hadamard(h));
}

TEST(Hadamard, EqualsThePublishedTables) {
    const std::vector<std::pair<int64_t, uint32_t>> published = {
        {12, 0x91ae9d0f},  {20, 0x491a6b55},  {28, 0x246ecdfa},  {36, 0x7d2e8fa9},
        {40, 0x83ce0bec},  {52, 0x35710736},  {60, 0x92660285},  {108, 0x37bba13d},
        {140, 0xd687d4b1}, {156, 0x8ece1aa8}, {172, 0xb4a93561},
    };
    for (const auto& [n, crc] : published) {
        const auto h = hadamard_matrix(n);
        ASSERT_TRUE(h) << n;
        EXPECT_EQ(crc32_of_signs(*h), crc) << n;
    }
}

TEST(Hadamard, PowersOfTwoAreInNaturalSylvesterOrder) {
    const auto h = hadamard_matrix(64);
    ASSERT_TRUE(h);
    for (int64_t i = 0; i < 64; ++i) {
        for (int64_t j = 0; j < 64; ++j) {
            const int parity = std::popcount(static_cast<uint64_t>(i & j)) % 2;
            ASSERT_EQ(h->at(i, j), parity == 0 ? 1 : -1);
        }
    }
}

TEST(Hadamard, PaleyOneAndWilliamsonAreNotSymmetric) {
    for (int64_t n : {12, 20, 60, 52, 172}) {
        const auto h = hadamard_matrix(n);
        ASSERT_TRUE(h) << n;
        bool symmetric = true;
        for (int64_t i = 0; i < n; ++i) {
            for (int64_t j = 0; j < i; ++j) symmetric = symmetric && h->at(i, j) == h->at(j, i);
        }
        EXPECT_FALSE(symmetric) << n;
    }
}

TEST(Hadamard, OrdersOutOfReachAreEmpty) {
    for (int64_t n : kUnreachable) EXPECT_FALSE(hadamard_matrix(n)) << n;
}

TEST(Hadamard, OrdersThatCannotExistOrAreTooLargeAreEmpty) {
    for (int64_t n : {-4, -1, 0, 3, 5, 6, 9, 14, 15, 18, 54, 344 + 2}) {
        EXPECT_FALSE(hadamard_matrix(n)) << n;
    }
    for (int64_t n : {kMaxHadamardOrder * 2, int64_t{1} << 40, INT64_MAX, INT64_MIN}) {
        EXPECT_FALSE(hadamard_matrix(n)) << n;
    }
}

}  // namespace
}  // namespace quarot::linalg
