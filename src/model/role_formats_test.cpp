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

TEST(RecipeWidths, InputsHaveTheirOwn) {
    const auto bits_of = [](const Recipe& recipe) {
        std::vector<int> bits;
        for (const LinearRole role : {LinearRole::Q, LinearRole::K, LinearRole::V, LinearRole::O,
                                      LinearRole::Gate, LinearRole::Up, LinearRole::Down}) {
            bits.push_back(activation_format(recipe, role).bits);
        }
        return bits;
    };
    Recipe recipe = named_recipe("quarot-rtn");
    recipe.site_bits = {.attn_in = 5, .o_in = 6, .mlp_in = 8, .down_in = 16};
    EXPECT_EQ(bits_of(recipe), (std::vector<int>{5, 5, 5, 6, 8, 8, 16}));
    EXPECT_EQ(weight_bits(recipe, LinearRole::Up), 4);
    recipe.site_bits = {.mlp_in = 8};
    recipe.down_bits = 7;
    EXPECT_EQ(bits_of(recipe), (std::vector<int>{4, 4, 4, 4, 8, 8, 7}));
    recipe.site_bits.down_in = 5;
    EXPECT_EQ(bits_of(recipe).back(), 5);
    EXPECT_EQ(weight_bits(recipe, LinearRole::Down), 7);
    recipe.activations.bits = 16;
    EXPECT_EQ(bits_of(recipe), (std::vector<int>(7, 16)));
}

TEST(RecipeWidths, HeadAndEmbeddingMayHaveGroupsOfTheirOwn) {
    Recipe recipe = named_recipe("quarot-128g");
    recipe.head_bits = 4;
    recipe.embedding_bits = 8;
    EXPECT_EQ(weight_format(recipe, LinearRole::Embedding).bits, 8);
    EXPECT_EQ(weight_format(recipe, LinearRole::LmHead).group_size, 128);
    recipe.head_group_size = 32;
    EXPECT_EQ(weight_format(recipe, LinearRole::LmHead).group_size, 32);
    EXPECT_EQ(weight_format(recipe, LinearRole::Embedding).group_size, 32);
    EXPECT_EQ(weight_format(recipe, LinearRole::Down).group_size, 128);
}

TEST(TiedMatrix, StaysOneWhereNothingParts) {
    const ModelConfig untied = {.hidden = 576}, tied = {.hidden = 576, .tied_embeddings = true};
    const auto expect = [&](const Recipe& recipe, bool stays, bool is_online, bool folds_final) {
        EXPECT_EQ(stays_tied(recipe, tied), stays);
        EXPECT_EQ(rotates_embedding_online(recipe, tied), is_online);
        EXPECT_EQ(folds(recipe, tied, NormRole::Final), folds_final);
        EXPECT_FALSE(stays_tied(recipe, untied));
        EXPECT_FALSE(rotates_embedding_online(recipe, untied));
        EXPECT_EQ(folds(recipe, untied, NormRole::Final), recipe.rotation.fold_norms);
        EXPECT_EQ(folds(recipe, tied, NormRole::MlpIn), recipe.rotation.fold_norms);
        EXPECT_FALSE(folds(recipe, tied, NormRole::Query));
    };
    expect(named_recipe("rtn"), true, false, false);
    expect(named_recipe("quarot"), false, false, true);
    Recipe recipe = named_recipe("w4a8kv4");
    expect(recipe, true, true, false);
    recipe.rotation.residual = ResidualRotation::Random;
    expect(recipe, false, false, true);
    recipe.rotation.residual = ResidualRotation::None;  // gains alone
    expect(recipe, true, false, false);
    recipe.head_bits = 16;
    expect(recipe, false, false, true);
}

TEST(CheckGroups, NamesTheSizesThatDivide) {
    const ModelConfig config = {
        .hidden = 576, .ffn = 1536, .n_layers = 1, .n_heads = 9, .head_dim = 64};
    Recipe recipe = named_recipe("quarot-64g");
    EXPECT_NO_THROW(check_groups(recipe, config));
    recipe.head_group_size = 128;
    expect_error(ErrorCode::Usage, {"head_group_size", "576 columns of the embedding"},
                 [&] { check_groups(recipe, config); });
    recipe = named_recipe("quarot-128g");
    expect_error(ErrorCode::Usage,
                 {"does not divide the 576 inputs of q_proj", "16, 32, 48, 64, 96, 192"},
                 [&] { check_groups(recipe, config); });
}

}  // namespace quarot::model
