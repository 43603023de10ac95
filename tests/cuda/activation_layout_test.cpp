// The places of activation codes, which the products rely on.
#include "kernels/cuda/activation_layout.h"

#include <gtest/gtest.h>

#include <set>

namespace quarot::cuda_test {
namespace {

using namespace kernels::cuda;

TEST(ActivationLayout, RowsAreMultiplesOf128Bytes) {
    EXPECT_EQ(activation_stride(1), 128);
    EXPECT_EQ(activation_stride(128), 128);
    EXPECT_EQ(activation_stride(129), 256);
}

TEST(ActivationLayout, EveryCodeHasAPlaceOfItsOwn) {
    for (int64_t rows : {1, 5, 16, 17}) {
        std::set<int64_t> places;
        for (int64_t row = 0; row < rows; ++row) {
            for (int64_t col = 0; col < 256; ++col) {
                places.insert(code_offset(rows, 256, row, col));
            }
        }
        EXPECT_EQ(std::ssize(places), rows * 256);
        EXPECT_EQ(*places.begin(), 0);
        EXPECT_EQ(*places.rbegin(), rows * 256 - 1);
    }
}

TEST(ActivationLayout, EveryByteOfEveryPlaneHasAPlaceOfItsOwn) {
    for (int planes : {2, 3}) {
        for (int64_t rows : {1, 16, 17}) {
            std::set<int64_t> places;
            for (int64_t row = 0; row < rows; ++row) {
                for (int64_t col = 0; col < 256; ++col) {
                    for (int plane = 0; plane < planes; ++plane) {
                        places.insert(multiple_offset(rows, 256, planes, row, col, plane));
                    }
                }
            }
            EXPECT_EQ(std::ssize(places), rows * 256 * planes);
            EXPECT_EQ(*places.begin(), 0);
            EXPECT_EQ(*places.rbegin(), rows * 256 * planes - 1);
        }
    }
}

// Lane 4 g + t of an m16n8k32 product takes of row g columns 4t..4t+3 of each 16: four words.
TEST(ActivationLayout, FewRowsGiveALaneItsFourWordsSideBySide) {
    for (int64_t row = 0; row < 5; ++row) {
        for (int64_t t = 0; t < 4; ++t) {
            for (int64_t word = 0; word < 4; ++word) {
                EXPECT_EQ(code_offset(5, 256, row, 64 + 16 * word + 4 * t),
                          5 * 64 + (4 * row + t) * 16 + 4 * word);
            }
        }
    }
}

TEST(ActivationLayout, ManyRowsAreRowMajor) {
    EXPECT_EQ(code_offset(17, 256, 3, 70), 3 * 256 + 70);
}

}  // namespace
}  // namespace quarot::cuda_test
