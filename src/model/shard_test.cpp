#include "model/shard.h"

#include <gtest/gtest.h>

#include "core/error.h"
#include "core/expect_error.h"

namespace quarot::model {

namespace {

ModelConfig network() {
    return {.ffn = 192, .n_heads = 8, .n_kv_heads = 4, .head_dim = 16, .vocab = 272};
}

ErrorCode refusal(const Recipe& recipe, int size) {
    try {
        check_shard(recipe, network(), {.size = size}, "m");
    } catch (const Error& error) {
        return error.code();
    }
    return ErrorCode::Internal;  // none
}

TEST(ColumnBlocks, CutRotationsAndScales) {
    const Recipe recipe = with_column_blocks(named_recipe("quarot-rtn"), network(), 4);
    EXPECT_EQ(recipe.tp_max, 4);
    EXPECT_EQ(recipe.rotation.heads_block, 2);
    EXPECT_EQ(recipe.rotation.ffn_block, 48);
    EXPECT_EQ(column_block(recipe, network(), LinearRole::O), 32);
    EXPECT_EQ(column_block(recipe, network(), LinearRole::Down), 48);
    EXPECT_EQ(column_block(recipe, network(), LinearRole::Q), 0);
}

TEST(ColumnBlocks, OfOneRankChangeNothing) {
    EXPECT_EQ(with_column_blocks(named_recipe("quarot-rtn"), network(), 1),
              named_recipe("quarot-rtn"));
}

TEST(ColumnBlocks, AreRefusedWhereTheyDoNotDivideTheNetwork) {
    for (const int64_t tp_max : {-1, 0, 3, 8}) {
        EXPECT_THROW(with_column_blocks(named_recipe("quarot-rtn"), network(), tp_max), Error)
            << tp_max;
    }
    Recipe grouped = named_recipe("quarot-rtn");
    grouped.weights.group_size = 32;
    EXPECT_THROW(with_column_blocks(grouped, network(), 4), Error) << "blocks of 48";
    EXPECT_THROW(with_column_blocks(named_recipe("quik-4b"), network(), 2), Error);
}

TEST(ColumnBlocks, AreRefusedBesideBlocksThatARecipeHas) {
    Recipe recipe = named_recipe("quarot-rtn");
    recipe.rotation.ffn_block = 32;
    EXPECT_EQ(with_column_blocks(recipe, network(), 1), recipe) << "one rank has them as they are";
    expect_error(ErrorCode::Usage, {"blocks of 0 heads and 32 inputs", "4 ranks", "tp_max"},
                 [&] { with_column_blocks(recipe, network(), 4); });
    recipe.rotation.ffn_block = 0;
    recipe.rotation.heads_block = 2;
    EXPECT_THROW(with_column_blocks(recipe, network(), 4), Error);
}

TEST(ColumnBlocks, AreRefusedWhereNormsSpanAllHeads) {
    ModelConfig config = network();
    config.architecture = "Olmo2ForCausalLM";
    config.qk_norm = QkNormSpan::Width;
    EXPECT_EQ(with_column_blocks(named_recipe("quarot-rtn"), config, 1).tp_max, 1);
    expect_error(ErrorCode::Unsupported, {"Olmo2ForCausalLM", "2 ranks"},
                 [&] { with_column_blocks(named_recipe("quarot-rtn"), config, 2); });
    config.qk_norm = QkNormSpan::Head;
    EXPECT_EQ(with_column_blocks(named_recipe("quarot-rtn"), config, 2).tp_max, 2);
}

TEST(ColumnBlocks, OfAnotherSizeThanTheRotationsDoNotFit) {
    const Recipe made = with_column_blocks(named_recipe("quarot-rtn"), network(), 4);
    EXPECT_TRUE(column_blocks_fit(made, network()));
    Recipe heads = made, ffn = made, ranks = made;
    heads.rotation.heads_block = 4;
    ffn.rotation.ffn_block = 0;
    ranks.tp_max = 2;
    for (const Recipe& recipe : {heads, ffn, ranks}) {
        EXPECT_FALSE(column_blocks_fit(recipe, network()));
    }
}

TEST(Shard, IsRefusedWhereARecipeSpansRanks) {
    const Recipe whole = named_recipe("quarot-rtn");
    const Recipe blocked = with_column_blocks(whole, network(), 2);
    EXPECT_EQ(refusal(whole, 1), ErrorCode::Internal);
    EXPECT_EQ(refusal(whole, 2), ErrorCode::Unsupported);
    EXPECT_EQ(refusal(blocked, 2), ErrorCode::Internal);
    EXPECT_EQ(refusal(blocked, 4), ErrorCode::Unsupported);
    EXPECT_EQ(refusal(Recipe{}, 4), ErrorCode::Internal);
    EXPECT_EQ(refusal(Recipe{}, 3), ErrorCode::Unsupported) << "heads";
}

TEST(Shard, IsRefusedWhereAGroupSpansRanks) {
    Recipe grouped;
    grouped.weights.bits = 4;
    grouped.weights.group_size = 32;
    EXPECT_EQ(refusal(grouped, 2), ErrorCode::Internal) << "shares of 96";
    EXPECT_EQ(refusal(grouped, 4), ErrorCode::Unsupported) << "shares of 48";
}

}  // namespace
}  // namespace quarot::model
