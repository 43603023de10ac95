#include "model/rope_tables.h"

#include <gtest/gtest.h>

#include <vector>

#include "kernels/backend.h"
#include "model/rope.h"

namespace quarot::model {

namespace {

const RopeConfig kRope = {.theta = 500.0};
constexpr int64_t kHeadDim = 8, kPairs = 4;

std::vector<float> floats(const float* from, int64_t n) {
    return {from, from + n};
}

TEST(RopeTables, InPiecesAreThoseOfAllPositions) {
    const auto backend = kernels::make_backend("cpu", {.n_threads = 1});
    constexpr int64_t kPositions = 5000;
    RopeTables tables(kRope, kHeadDim, kPositions, *backend);
    const kernels::RopeTable view = tables.view();
    for (const int64_t n : {1, 7, 1024, 1025, 3000, 2, 5000}) {
        tables.reach(n, *backend);
        EXPECT_GE(tables.n_made(), n);
    }
    const RopeAngles all =
        rope_angles(rope_frequencies(kRope, kHeadDim, kPositions), 1.0, 0, kPositions);
    EXPECT_EQ(floats(view.cos, kPositions * kPairs), all.cos);
    EXPECT_EQ(floats(view.sin, kPositions * kPairs), all.sin);
}

// What a session declares decides, not how far it has come.
TEST(RopeTables, AreThoseOfTheWholeSession) {
    const auto backend = kernels::make_backend("cpu", {.n_threads = 1});
    const RopeConfig dynamic = {
        .type = RopeType::Dynamic, .factor = 4.0, .original_max_positions = 10};
    RopeTables tables(dynamic, kHeadDim, 40, *backend);
    tables.reach(2, *backend);
    const RopeAngles angles = rope_angles(rope_frequencies(dynamic, kHeadDim, 40), 1.0, 0, 2);
    EXPECT_EQ(floats(tables.view().cos, 2 * kPairs), angles.cos);
}

TEST(RopeTables, AreMadeLittleFurtherThanIsAskedFor) {
    const auto backend = kernels::make_backend("cpu", {.n_threads = 1});
    RopeTables tables(kRope, kHeadDim, int64_t{1} << 24, *backend);
    EXPECT_EQ(tables.n_made(), 0);
    tables.reach(10, *backend);
    EXPECT_LE(tables.n_made(), 2048);
}

}  // namespace
}  // namespace quarot::model
