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

TEST(ActivationLayout, InterleavingPermutesEveryRunOf64) {
    for (int64_t run = 0; run < 256; run += 64) {
        std::set<int64_t> places;
        for (int64_t k = run; k < run + 64; ++k) {
            EXPECT_EQ(code_position(k, false), k);
            places.insert(code_position(k, true));
        }
        EXPECT_EQ(places.size(), 64u);
        EXPECT_EQ(*places.begin(), run);
        EXPECT_EQ(*places.rbegin(), run + 63);
    }
}

// Lane t of an m16n8k32 product takes columns 4t..4t+3 of each 16: four words, 16 bytes.
TEST(ActivationLayout, ALaneFindsItsFourWordsSideBySide) {
    for (int64_t t = 0; t < 4; ++t) {
        for (int64_t word = 0; word < 4; ++word) {
            EXPECT_EQ(code_position(16 * word + 4 * t, true), 16 * t + 4 * word);
        }
    }
}

}  // namespace
}  // namespace quarot::cuda_test
