// Are scales and zero points counted?
#include "model/bits_per_value.h"

#include <gtest/gtest.h>

#include "model/small_config_for_tests.h"

namespace quarot::model {
namespace {

TEST(BitsPerValue, CountScalesAndZeroPoints) {
    Recipe recipe = named_recipe("quarot-rtn");
    const model::ModelConfig config = small_config();
    // Inputs of 96, 96, 96 and 192 values, each with one scale of 32 bits.
    EXPECT_DOUBLE_EQ(bits_per_activation(recipe, config), 4.0 + 4 * 32.0 / 480);
    recipe.activations.group_size = 32;
    EXPECT_DOUBLE_EQ(bits_per_activation(recipe, config), 5.0);
    recipe.activations.symmetric = false;
    EXPECT_DOUBLE_EQ(bits_per_activation(recipe, config), 6.0);
    recipe.activations.zero = kernels::ZeroPoint::Real;
    recipe.activations.scales = kernels::ActivationScales::TwoLevel;
    EXPECT_DOUBLE_EQ(bits_per_activation(recipe, config), 4.5 + 4 * 32.0 / 480);
    recipe.site_bits.mlp_in = 8;
    EXPECT_DOUBLE_EQ(bits_per_activation(recipe, config), 4.5 + (4 * 32.0 + 4 * 96) / 480);
    // A scale of 32 and a zero point of 16 bits for 48 values.
    EXPECT_DOUBLE_EQ(bits_per_kv(recipe, config), 5.0);
    recipe.k.bits = 16;
    EXPECT_DOUBLE_EQ(bits_per_kv(recipe, config), 10.5);
    EXPECT_DOUBLE_EQ(bits_per_k(recipe, config), 16.0);
    EXPECT_DOUBLE_EQ(bits_per_v(recipe, config), 5.0);
    EXPECT_DOUBLE_EQ(bits_per_activation(full_precision_recipe(), config), 16.0);
    // 6 of 96 columns keep 16 bits, twice as many of 192; the others have a scale and a zero point.
    const double narrow = 90 * 4 + 64 + 6 * 16, wide = 180 * 8 + 64 + 12 * 16;
    EXPECT_DOUBLE_EQ(bits_per_activation(named_recipe("quik-4b"), config),
                     (3 * narrow + wide) / 480);
}

TEST(InputBits, AreOfOneLinear) {
    Recipe recipe = named_recipe("quarot-rtn");
    recipe.site_bits.down_in = 8;
    const ModelConfig config = small_config();
    EXPECT_EQ(input_bits(recipe, LinearRole::O, config), 96 * 4 + 32);
    EXPECT_EQ(input_bits(recipe, LinearRole::Down, config), 192 * 8 + 32);
    EXPECT_EQ(input_values(LinearRole::Down, config), 192);
}

TEST(BitsPerWeight, CountWordsScalesAndZeroPoints) {
    const ModelConfig config = small_config();
    Recipe recipe = named_recipe("quarot-rtn");
    recipe.weights.bits = 3;
    // Rows of 96 and of 192 codes are 9 and 18 words, and have one scale of 32 bits each: 96 rows
    // of q and o, 48 of k and v, 192 of gate and up, 96 of down.
    const double narrow = 2 * 96 + 2 * 48 + 2 * 192, wide = 96;
    EXPECT_DOUBLE_EQ(bits_per_weight(recipe, config),
                     3.0 + (narrow + wide) * 32 / (narrow * 96 + wide * 192));
    recipe.weights.bits = 4;
    recipe.weights.group_size = 32;
    recipe.weights.symmetric = false;
    EXPECT_DOUBLE_EQ(bits_per_weight(recipe, config), 4.0 + (16.0 + 8) / 32);
    recipe.down_bits = 16;
    EXPECT_DOUBLE_EQ(bits_per_weight(recipe, config),
                     (4.75 * narrow * 96 + 16 * wide * 192) / (narrow * 96 + wide * 192));
}

TEST(BitsPerValue, AreAtMostFourAndAHalfInQuarotPlus) {
    ModelConfig config = small_config();
    config.hidden = 256;
    config.ffn = 768;
    config.n_heads = 4;
    config.head_dim = 64;
    const Recipe recipe = named_recipe("quarot+");
    // 4 bits and two numbers of 8 for every 64, and a unit a token at each of four inputs.
    EXPECT_DOUBLE_EQ(bits_per_activation(recipe, config), 4.25 + 4 * 32.0 / 1536);
    EXPECT_DOUBLE_EQ(bits_per_k(recipe, config), 4.5);
}

}  // namespace
}  // namespace quarot::model
