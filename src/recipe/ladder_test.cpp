#include "recipe/ladder.h"

#include <gtest/gtest.h>

namespace quarot {
namespace {

class Ladder : public testing::TestWithParam<const std::vector<LadderStep>* (*)()> {};

const std::vector<LadderStep>* grouped() {
    return &grouped_ladder();
}

const std::vector<LadderStep>* ungrouped() {
    return &ungrouped_ladder();
}

const std::vector<LadderStep>* hadamard() {
    return &hadamard_ladder();
}

TEST_P(Ladder, EachStepChangesTheRecipeIntoOneThatMayBe) {
    Recipe recipe = named_recipe("quarot");
    for (const LadderStep& step : *GetParam()()) {
        SCOPED_TRACE(step.name);
        const Recipe next = with_changes(recipe, step.changes);
        EXPECT_NE(next, recipe);
        EXPECT_NO_THROW(check_recipe(next));
        recipe = next;
    }
}

TEST_P(Ladder, StaysAtFourBits) {
    const Recipe recipe = after(named_recipe("quarot"), *GetParam()());
    EXPECT_EQ(recipe.weights.bits, 4);
    EXPECT_EQ(recipe.activations.bits, 4);
    EXPECT_EQ(recipe.k.bits, 4);
    EXPECT_EQ(recipe.v.bits, 4);
}

TEST_P(Ladder, EndsWithACacheOfHalves) {
    const Recipe recipe = after(named_recipe("quarot"), *GetParam()());
    EXPECT_TRUE(recipe.k.by_channel());
    EXPECT_EQ(recipe.v.scales, DType::F16);
}

INSTANTIATE_TEST_SUITE_P(All, Ladder, testing::Values(&grouped, &ungrouped, &hadamard));

TEST(UngroupedLadder, EndsWithOneScaleATokenAndARow) {
    const Recipe recipe = named_recipe("best4");
    EXPECT_EQ(recipe.activations.group_size, 0);
    EXPECT_EQ(recipe.weights.group_size, 0);
}

TEST(HadamardLadder, LeavesThePapersRotationsAndOneSizeOfGroups) {
    const Recipe recipe = named_recipe("quarot+");
    EXPECT_EQ(recipe.rotation, named_recipe("quarot").rotation);
    EXPECT_FALSE(recipe.rotation.looks_at_text());
    EXPECT_EQ(recipe.activations.group_size, 64);
    EXPECT_EQ(recipe.weights.group_size, 64);
    EXPECT_EQ(recipe.activations.scales, kernels::ActivationScales::TwoLevel);
    EXPECT_EQ(recipe.activations.first_positions, 4);
    EXPECT_TRUE(recipe.k.by_channel());
    EXPECT_EQ(recipe.weights.target, WeightTarget::Refit);
}

}  // namespace
}  // namespace quarot
