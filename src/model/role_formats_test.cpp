// Which widths do linears have, and which groups fit them?
#include "model/role_formats.h"

#include <gtest/gtest.h>

#include "core/expect_error.h"

namespace quarot::model {

TEST(RecipeWidths, DownAndHeadHaveTheirOwn) {
    Recipe recipe = named_recipe("quarot-rtn");
    EXPECT_EQ(weight_bits(recipe, LinearRole::Down), 4);
    EXPECT_EQ(weight_bits(recipe, LinearRole::LmHead), 16);
    recipe.down_bits = 8;
    recipe.head_bits = 5;
    EXPECT_EQ(weight_bits(recipe, LinearRole::Down), 8);
    EXPECT_EQ(weight_bits(recipe, LinearRole::Up), 4);
    EXPECT_EQ(weight_bits(recipe, LinearRole::LmHead), 5);
    EXPECT_EQ(activation_format(recipe, LinearRole::Down).bits, 8);
    EXPECT_EQ(activation_format(recipe, LinearRole::Down).clip, 0.9f);
    EXPECT_EQ(activation_format(recipe, LinearRole::O).bits, 4);
    EXPECT_EQ(activation_format(recipe, LinearRole::LmHead).bits, 16);
    recipe.activations.bits = 16;
    EXPECT_EQ(activation_format(recipe, LinearRole::Down).bits, 16);
}

TEST(CheckGroups, NamesTheSizesThatDivide) {
    const ModelConfig config = {
        .hidden = 576, .ffn = 1536, .n_layers = 1, .n_heads = 9, .head_dim = 64};
    Recipe recipe = named_recipe("quarot-64g");
    EXPECT_NO_THROW(check_groups(recipe, config));
    recipe = named_recipe("quarot-128g");
    expect_error(ErrorCode::Usage,
                 {"does not divide the 576 inputs of q_proj", "16, 32, 48, 64, 96, 192"},
                 [&] { check_groups(recipe, config); });
}

}  // namespace quarot::model
