// Does every name mean the settings that it says?
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "core/expect_error.h"
#include "recipe/recipe.h"

namespace quarot {

namespace {

bool rotates(const RotationSpec& spec) {
    return spec.residual != ResidualRotation::None || spec.value_heads || spec.query_key ||
           spec.ffn || spec.head_mix;
}

}  // namespace

TEST(NamedRecipe, DefaultIsThePapersQuantizersOnARotatedModel) {
    const Recipe recipe = named_recipe(default_recipe_name());
    EXPECT_EQ(recipe.name, "quarot");
    EXPECT_EQ(recipe.weights.method, "gptq");
    EXPECT_EQ(recipe.rotation.residual, ResidualRotation::Hadamard);
    EXPECT_EQ(rotation_parts(recipe.rotation), "r1,r2,r3,r4,heads");
    EXPECT_TRUE(recipe.rotation.fold_norms);
    EXPECT_EQ(recipe.weights.bits, 4);
    EXPECT_TRUE(recipe.weights.symmetric && recipe.weights.clip_search);
    EXPECT_EQ(recipe.activations.bits, 4);
    EXPECT_EQ(recipe.activations.clip, 0.9f);
    EXPECT_TRUE(recipe.activations.symmetric);
    EXPECT_EQ(recipe.k.bits, 4);
    EXPECT_EQ(recipe.v.bits, 4);
    EXPECT_EQ(recipe.k.clip, 0.95f);
    EXPECT_EQ(recipe.v.clip, 0.95f);
    EXPECT_TRUE(recipe.k.range_includes_zero);
    EXPECT_FALSE(recipe.v.range_includes_zero);
    EXPECT_EQ(recipe.head_bits, 16);
    EXPECT_FALSE(recipe.storage.has_value()) << "rotated tensors keep the source's dtype";
}

TEST(NamedRecipe, ClipRatiosBelongToWidths) {
    const auto clips = [](const std::string& name) {
        const Recipe recipe = named_recipe(name);
        EXPECT_EQ(recipe.k.clip, recipe.v.clip) << name;
        return std::pair(recipe.activations.clip, recipe.k.clip);
    };
    EXPECT_EQ(clips("w4a8kv4"), std::pair(1.0f, 0.95f));
    EXPECT_EQ(clips("w8a8kv8"), std::pair(1.0f, 1.0f));
    EXPECT_EQ(clips("w6a6kv6"), std::pair(0.95f, 0.95f));
    for (const char* of_the_paper : {"quarot-rtn", "quarot-rtn-w6a6kv6", "quarot-rtn-w8a8kv8",
                                     "quarot-w6a6kv6", "quarot-w8a8kv8"}) {
        EXPECT_EQ(clips(of_the_paper), std::pair(0.9f, 0.95f)) << of_the_paper;
    }
}

TEST(NamedRecipe, ARecipeThatRoundsWithoutATextKeepsItsName) {
    Recipe recipe = named_recipe("w4a8kv4");
    EXPECT_EQ(recipe.weights.method, "gptq");
    EXPECT_TRUE(rounds_without_text("w4a8kv4"));
    EXPECT_FALSE(rounds_without_text("quarot"));
    recipe.weights.method = "rtn";
    EXPECT_EQ(name_by_settings(recipe), "w4a8kv4");
    Recipe other = named_recipe("quarot");
    other.weights.method = "rtn";
    EXPECT_EQ(name_by_settings(other), "quarot-rtn");
    other.name = "custom";
    EXPECT_EQ(name_by_settings(other), "quarot-rtn") << "settings that were changed back";
    other.weights.bits = 5;
    EXPECT_EQ(name_by_settings(other), "custom");
}

TEST(NamedRecipe, NamesSayTheWidths) {
    const Recipe mixed = named_recipe("w4a8kv4");
    EXPECT_EQ(mixed.weights.bits, 4);
    EXPECT_EQ(mixed.activations.bits, 8);
    EXPECT_EQ(mixed.k.bits, 4);
    EXPECT_EQ(mixed.head_bits, 8);
    EXPECT_EQ(mixed.embedding_bits, 8);
    EXPECT_TRUE(mixed.tied_rotation);
    const Recipe six = named_recipe("w6a6kv6");
    EXPECT_EQ(six.weights.bits, 6);
    EXPECT_EQ(six.activations.bits, 6);
    EXPECT_EQ(six.v.bits, 6);
    const Recipe eight = named_recipe("w8a8kv8");
    EXPECT_EQ(eight.weights.bits, 8);
    EXPECT_EQ(eight.activations.bits, 8);
    EXPECT_EQ(eight.k.bits, 8);
    EXPECT_TRUE(rotates(eight.rotation));
}

TEST(NamedRecipe, OnlyTheRecommendedOneQuantizesHeadAndEmbedding) {
    for (const std::string& name : known_recipes()) {
        const Recipe recipe = named_recipe(name);
        const bool is_small = name == "w4a8kv4";
        EXPECT_EQ(recipe.head_bits, is_small ? 8 : 16) << name;
        EXPECT_EQ(recipe.embedding_bits, is_small ? 8 : 16) << name;
        EXPECT_EQ(recipe.tied_rotation, is_small) << name;
    }
}

TEST(NamedRecipe, RtnIsTheSameWithoutRotation) {
    Recipe recipe = named_recipe("rtn");
    EXPECT_FALSE(rotates(recipe.rotation));
    EXPECT_FALSE(recipe.rotation.fold_norms);
    EXPECT_FALSE(recipe.storage.has_value()) << "what is not rotated keeps its dtype";
    const Recipe rotated = named_recipe("quarot-rtn");
    recipe.name = rotated.name;
    recipe.rotation = rotated.rotation;
    EXPECT_TRUE(recipe == rotated);
}

TEST(NamedRecipe, AnUnknownNameListsAll) {
    expect_error(ErrorCode::Usage, known_recipes(), [] { named_recipe("w3"); });
}

TEST(NamedRecipe, EveryListedNameExistsAndPassesTheCheck) {
    for (const std::string& name : known_recipes()) {
        SCOPED_TRACE(name);
        const Recipe recipe = named_recipe(name);
        EXPECT_EQ(recipe.name, name);
        EXPECT_NO_THROW(check_recipe(recipe));
        const int narrowest =
            std::min({recipe.weights.bits, recipe.activations.bits, recipe.k.bits, recipe.v.bits});
        EXPECT_LE(narrowest, 8);
    }
}

TEST(NamedRecipe, NoTwoMeanTheSame) {
    std::vector<std::pair<std::string, Recipe>> seen;
    for (const std::string& name : known_recipes()) {
        if (name == "kv4-clip95") continue;  // k4v4 as Table 5 calls it
        Recipe recipe = named_recipe(name);
        recipe.name.clear();
        for (const auto& [known, settings] : seen)
            EXPECT_FALSE(recipe == settings) << name << " is " << known;
        seen.emplace_back(name, recipe);
    }
}

TEST(NamedRecipe, RowsOfThePaperHaveItsSettings) {
    const Recipe groups = named_recipe("quarot-128g");
    EXPECT_EQ(groups.weights.group_size, 128);
    EXPECT_EQ(groups.activations.group_size, 128);
    const Recipe weights = named_recipe("quarot-w3a16");
    EXPECT_EQ(weights.weights.bits, 3);
    EXPECT_FALSE(weights.weights.symmetric);
    EXPECT_EQ(weights.activations.bits, 16);
    EXPECT_EQ(weights.k.bits, 16);
    EXPECT_FALSE(rotates(named_recipe("w3a16-gptq").rotation));
    EXPECT_EQ(named_recipe("quarot-w3a16-rtn").weights.method, "rtn");
    const Recipe cache = named_recipe("k3v2");
    EXPECT_EQ(cache.weights.bits, 16);
    EXPECT_EQ(cache.k.bits, 3);
    EXPECT_EQ(cache.v.bits, 2);
    EXPECT_EQ(named_recipe("a4-clip85").activations.clip, 0.85f);
    EXPECT_EQ(named_recipe("kv4-clip100").k.clip, 1.0f);
    EXPECT_EQ(named_recipe("quarot-fp16-hadamard").rotation.online_dtype, DType::F16);
    EXPECT_EQ(named_recipe("quarot-random").rotation.residual, ResidualRotation::Random);
    EXPECT_EQ(named_recipe("quarot-down8").down_bits, 8);
}

TEST(FullPrecisionRecipe, QuantizesNothing) {
    const Recipe recipe = full_precision_recipe();
    EXPECT_EQ(recipe.name, "none");
    EXPECT_FALSE(recipe.quantizes_weights());
    EXPECT_FALSE(rotates(recipe.rotation));
    EXPECT_EQ(recipe.activations.bits, 16);
    EXPECT_EQ(recipe.k.bits, 16);
    EXPECT_EQ(recipe.v.bits, 16);
    EXPECT_FALSE(recipe.v.range_includes_zero) << "holds as soon as a flag narrows V";
}

}  // namespace quarot
