// Does a recipe come back from config.json as it was, and nothing that is none?
#include "folder/recipe_json.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

#include "core/expect_error.h"
#include "recipe/recipe.h"

namespace quarot::folder {

namespace {

void expect_equal(const kernels::KvFormat& a, const kernels::KvFormat& b) {
    EXPECT_EQ(a.bits, b.bits);
    EXPECT_EQ(a.axis, b.axis);
    EXPECT_EQ(a.block, b.block);
    EXPECT_EQ(a.group_size, b.group_size);
    EXPECT_EQ(a.clip, b.clip);
    EXPECT_EQ(a.exempt_positions, b.exempt_positions);
    EXPECT_EQ(a.range_includes_zero, b.range_includes_zero);
    EXPECT_EQ(a.scales, b.scales);
}

void expect_equal(const Recipe& a, const Recipe& b) {
    EXPECT_EQ(a.name, b.name);
    EXPECT_EQ(a.rotation.residual, b.rotation.residual);
    EXPECT_EQ(a.rotation.value_heads, b.rotation.value_heads);
    EXPECT_EQ(a.rotation.head_mix, b.rotation.head_mix);
    EXPECT_EQ(a.rotation.query_key, b.rotation.query_key);
    EXPECT_EQ(a.rotation.ffn, b.rotation.ffn);
    EXPECT_EQ(a.rotation.fold_norms, b.rotation.fold_norms);
    EXPECT_EQ(a.rotation.seed, b.rotation.seed);
    EXPECT_EQ(a.rotation.residual_block, b.rotation.residual_block);
    EXPECT_EQ(a.rotation.heads_block, b.rotation.heads_block);
    EXPECT_EQ(a.rotation.ffn_block, b.rotation.ffn_block);
    EXPECT_EQ(a.rotation.aligned_values, b.rotation.aligned_values);
    EXPECT_EQ(a.rotation.up_balance, b.rotation.up_balance);
    EXPECT_EQ(a.rotation.online_dtype, b.rotation.online_dtype);
    EXPECT_EQ(a.weights.method, b.weights.method);
    EXPECT_EQ(a.weights.bits, b.weights.bits);
    EXPECT_EQ(a.weights.group_size, b.weights.group_size);
    EXPECT_EQ(a.weights.symmetric, b.weights.symmetric);
    EXPECT_EQ(a.weights.clip_search, b.weights.clip_search);
    EXPECT_EQ(a.weights.damp, b.weights.damp);
    EXPECT_EQ(a.weights.act_order, b.weights.act_order);
    EXPECT_EQ(a.weights.group_scales, b.weights.group_scales);
    EXPECT_EQ(a.weights.scale_search, b.weights.scale_search);
    EXPECT_EQ(a.weights.target, b.weights.target);
    EXPECT_EQ(a.weights.refit_share, b.weights.refit_share);
    EXPECT_EQ(a.calibration.n_samples, b.calibration.n_samples);
    EXPECT_EQ(a.calibration.seqlen, b.calibration.seqlen);
    EXPECT_EQ(a.calibration.windows, b.calibration.windows);
    EXPECT_EQ(a.calibration.activations, b.calibration.activations);
    EXPECT_EQ(a.activations.bits, b.activations.bits);
    EXPECT_EQ(a.activations.group_size, b.activations.group_size);
    EXPECT_EQ(a.activations.symmetric, b.activations.symmetric);
    EXPECT_EQ(a.activations.clip, b.activations.clip);
    EXPECT_EQ(a.activations.zero, b.activations.zero);
    EXPECT_EQ(a.site_bits, b.site_bits);
    EXPECT_EQ(a.clip_search, b.clip_search);
    EXPECT_EQ(a.activations.scales, b.activations.scales);
    EXPECT_EQ(a.activations.first_positions, b.activations.first_positions);
    expect_equal(a.k, b.k);
    expect_equal(a.v, b.v);
    EXPECT_EQ(a.down_bits, b.down_bits);
    EXPECT_EQ(a.head_bits, b.head_bits);
    EXPECT_EQ(a.embedding_bits, b.embedding_bits);
    EXPECT_EQ(a.head_group_size, b.head_group_size);
    EXPECT_EQ(a.tied_rotation, b.tied_rotation);
    EXPECT_EQ(a.tp_max, b.tp_max);
    EXPECT_EQ(a.storage, b.storage);
}

// What a folder's config.json gives back.
Recipe through_json(const Recipe& recipe) {
    return recipe_from_json(io::Json::parse(to_json(recipe).dump(), "config.json"));
}

Recipe unlike_any_default() {
    Recipe recipe;
    recipe.name = "my-own_1.2";
    recipe.rotation = {.residual = ResidualRotation::Random,
                       .value_heads = true,
                       .head_mix = true,
                       .query_key = true,
                       .ffn = true,
                       .fold_norms = true,
                       .online_dtype = DType::F16,
                       .seed = 4294967295u,
                       .residual_block = 64,
                       .heads_block = 4,
                       .ffn_block = 128,
                       .aligned_values = true,
                       .up_balance = 0.5};
    recipe.weights = {.method = "gptq",
                      .bits = 3,
                      .group_size = 96,
                      .symmetric = false,
                      .clip_search = false,
                      .damp = 0.125,
                      .act_order = true,
                      .group_scales = GroupScales::BlockStart,
                      .target = WeightTarget::Refit,
                      .refit_share = 0.5};
    recipe.activations = {.bits = 5,
                          .group_size = 32,
                          .symmetric = false,
                          .clip = 0.7f,
                          .zero = kernels::ZeroPoint::Real,
                          .scales = kernels::ActivationScales::TwoLevel,
                          .first_positions = 4};
    recipe.clip_search = true;
    recipe.site_bits = {.attn_in = 5, .o_in = 6, .mlp_in = 7, .down_in = 8};
    recipe.calibration = {.n_samples = 7,
                          .seqlen = 100,
                          .windows = CalibrationWindows::First,
                          .activations = CalibrationActivations::Quantized};
    recipe.k = {.bits = 2,
                .axis = kernels::KvAxis::Channel,
                .block = 32,
                .clip = 0.85f,
                .range_includes_zero = false};
    recipe.v = {.bits = 7, .clip = 1.0f, .range_includes_zero = true, .scales = DType::F16};
    recipe.down_bits = 8;
    recipe.head_bits = 6;
    recipe.embedding_bits = 5;
    recipe.head_group_size = 64;
    recipe.tied_rotation = true;
    recipe.tp_max = 8;
    recipe.storage = DType::BF16;
    return recipe;
}

// The JSON of the default recipe with one change.
void expect_corrupt(const std::function<void(io::Json&)>& change, ErrorCode code,
                    const std::string& words) {
    io::Json json = to_json(named_recipe("quarot-rtn"));
    change(json);
    const io::Json read = io::Json::parse(json.dump(), "config.json");
    expect_error(code, {words}, [&] { recipe_from_json(read); });
}

std::function<void(io::Json&)> with(const std::string& section, const std::string& key,
                                    const io::Json& value) {
    return [=](io::Json& json) {
        io::Json changed = json.at(section);
        changed.set(key, value);
        json.set(section, changed);
    };
}

std::function<void(io::Json&)> with(const std::string& key, const io::Json& value) {
    return [=](io::Json& json) { json.set(key, value); };
}

std::function<void(io::Json&)> removing(const std::string& key) {
    return [=](io::Json& json) {
        std::erase_if(json.as_object(), [&](const auto& member) { return member.first == key; });
    };
}

}  // namespace

TEST(RecipeJson, KeepsEveryFieldOfEveryRecipe) {
    for (const std::string& name : known_recipes()) {
        SCOPED_TRACE(name);
        expect_equal(through_json(named_recipe(name)), named_recipe(name));
    }
    Recipe other = unlike_any_default();
    expect_equal(through_json(other), other);
    other.weights.clip_search = true;  // what the search of scales needs
    other.weights.scale_search = ScaleSearch::Hessian;
    expect_equal(through_json(other), other);
}

TEST(RecipeJson, WritesClipsAsTheyAreSpoken) {
    const io::Json json = to_json(named_recipe("quarot-rtn"));
    EXPECT_EQ(json.at("quant_method").as_string(), "quarot");
    EXPECT_EQ(json.at("activations").at("clip").dump(), "0.9");
    EXPECT_EQ(json.at("k").at("clip").dump(), "0.95");
    EXPECT_EQ(to_json(named_recipe("rtn")).at("storage").as_string(), "keep");
}

TEST(RecipeJson, LeavesOutWhatARecipeDoesNotUse) {
    Recipe recipe = named_recipe("quik-4b");
    EXPECT_TRUE(to_json(recipe).at("outliers").contains("by_hidden"));
    recipe.outliers.by_hidden = false;
    EXPECT_FALSE(to_json(recipe).at("outliers").contains("by_hidden"));
    recipe.outliers = {.by_hidden = true};  // of none
    EXPECT_FALSE(to_json(recipe).contains("outliers"));
    EXPECT_FALSE(to_json(recipe).contains("smoothing"));
    EXPECT_TRUE(to_json(named_recipe("smoothquant")).contains("smoothing"));
}

TEST(RecipeJson, NamesOptionalSettingsOnlyWhereTheyAreNotTheDefault) {
    Recipe recipe = named_recipe("quarot");
    EXPECT_FALSE(to_json(recipe).at("weights").contains("scale_search"));
    EXPECT_FALSE(to_json(recipe).contains("head_group_size"));
    EXPECT_FALSE(to_json(recipe).at("k").contains("block"));
    recipe.weights.scale_search = ScaleSearch::Hessian;
    recipe.head_group_size = 64;
    EXPECT_EQ(to_json(recipe).at("weights").at("scale_search").as_string(), "hessian");
    EXPECT_EQ(to_json(recipe).at("head_group_size").as_int(), 64);
}

TEST(RecipeJson, TellsAnAlignedR1) {
    Recipe recipe = named_recipe("quarot-rtn");
    recipe.activations.group_size = 64;
    set_rotation(recipe, "aligned");
    expect_equal(through_json(recipe), recipe);
    EXPECT_EQ(to_json(recipe).at("rotation").at("residual").as_string(), "aligned");
    EXPECT_EQ(to_json(recipe).at("format_version").as_int(), 3);
}

TEST(RecipeJson, TellsTheHeadMixFromR2WhereOneIsThereAlone) {
    for (const char* parts : {"r2", "heads", "r1,r3,r4,heads", "none"}) {
        SCOPED_TRACE(parts);
        Recipe recipe = named_recipe("quarot-rtn");
        set_rotation(recipe, parts);
        expect_equal(through_json(recipe), recipe);
    }
    Recipe alone = named_recipe("quarot-rtn");
    EXPECT_EQ(to_json(alone).at("format_version").as_int(), 2);
    set_rotation(alone, "heads");
    EXPECT_EQ(to_json(alone).at("format_version").as_int(), 3) << "others would not mix heads";
    io::Json json = to_json(alone);
    with("rotation", "head_mix", "yes")(json);
    expect_error(ErrorCode::Corrupt, {"rotation.head_mix"},
                 [&] { recipe_from_json(io::Json::parse(json.dump(), "config.json")); });
}

TEST(RecipeJson, KeepsTheDigestOfAnR1FromAFile) {
    Recipe recipe = named_recipe("quarot-rtn");
    recipe.rotation.residual = ResidualRotation::File;
    recipe.rotation.residual_sha256 = std::string(64, 'b');
    EXPECT_EQ(through_json(recipe), recipe);
    EXPECT_EQ(to_json(recipe).at("format_version").as_int(), 3) << "others would not know it";
    const auto refuse = [&](const std::string& key, const io::Json& value,
                            const std::string& words) {
        io::Json json = to_json(recipe);
        with("rotation", key, value)(json);
        expect_error(ErrorCode::Corrupt, {words},
                     [&] { recipe_from_json(io::Json::parse(json.dump(), "config.json")); });
    };
    refuse("residual_sha256", "../x", "rotation.residual_sha256 is \"../x\"");
    refuse("residual_sha256", "", "no digest of that");
    refuse("residual", "hadamard", "not from one, expected both or neither");
}

TEST(RecipeJson, IgnoresUnknownKeys) {
    io::Json json = to_json(named_recipe("w6a6kv6"));
    json.set("later", "news");
    expect_equal(recipe_from_json(io::Json::parse(json.dump(), "config.json")),
                 named_recipe("w6a6kv6"));
}

TEST(RecipeJson, MissesEveryKeyThatIsNotThere) {
    const io::Json whole = to_json(named_recipe("quarot-rtn"));
    for (const auto& [key, value] : whole.as_object()) {
        if (key == "quant_method") continue;  // chose this reader
        SCOPED_TRACE(key);
        expect_corrupt(removing(key), ErrorCode::Corrupt, key);
        if (!value.is_object()) continue;
        for (const auto& [inner, unused] : value.as_object()) {
            SCOPED_TRACE(inner);
            const auto remove_inner = [&outer = key, &name = inner](io::Json& json) {
                io::Json section = json.at(outer);
                removing(name)(section);
                json.set(outer, section);
            };
            expect_corrupt(remove_inner, ErrorCode::Corrupt, inner);
        }
    }
}

TEST(RecipeJson, RangeChecksEveryValue) {
    constexpr ErrorCode kCorrupt = ErrorCode::Corrupt;
    expect_corrupt(with("weights", "bits", 1), kCorrupt, "weights.bits is 1");
    expect_corrupt(with("weights", "bits", 9), kCorrupt, "weights.bits is 9");
    expect_corrupt(with("weights", "bits", 4294967300), kCorrupt, "weights.bits");
    expect_corrupt(with("weights", "bits", 4.5), kCorrupt, "weights.bits");
    expect_corrupt(with("weights", "method", "../../x y"), kCorrupt, "weights.method");
    expect_corrupt(with("weights", "group_size", -128), kCorrupt, "weights.group_size");
    expect_corrupt(with("weights", "group_size", 42), kCorrupt, "weights.group_size is 42");
    expect_corrupt(with("weights", "damp", 1.5), kCorrupt, "weights.damp is 1.5");
    expect_corrupt(with("weights", "group_scales", "old"), kCorrupt, "group_scales is \"old\"");
    expect_corrupt(with("weights", "scale_search", "mse"), kCorrupt, "scale_search is \"mse\"");
    expect_corrupt(with("weights", "target", "best"), kCorrupt, "weights.target is \"best\"");
    expect_corrupt(with("activations", "zero_point", "real"), kCorrupt, "symmetric ones have none");
    expect_corrupt(with("k", "axis", "head"), kCorrupt, "k.axis is \"head\"");
    expect_corrupt(with("k", "block", 48), kCorrupt, "k.block is 48, expected 16, 32 or 64");
    expect_corrupt(with("v", "axis", "channel"), kCorrupt, "v.axis is \"channel\"");
    expect_corrupt(with("v", "scales", "bf16"), kCorrupt, "v.scales is \"bf16\"");
    expect_corrupt(with("rotation", "online_dtype", "bf16"), kCorrupt, "online_dtype is \"bf16\"");
    expect_corrupt(with("calibration", "nsamples", 0), kCorrupt, "calibration.nsamples");
    expect_corrupt(with("calibration", "windows", "last"), kCorrupt, "calibration.windows");
    expect_corrupt(with("weights", "symmetric", 1), kCorrupt, "weights.symmetric");
    expect_corrupt(with("activations", "bits", 32), kCorrupt, "activations.bits is 32");
    expect_corrupt(with("activations", "clip", 0), kCorrupt, "activations.clip is 0");
    expect_corrupt(with("activations", "clip", 1e-60), kCorrupt, "activations.clip");
    expect_corrupt(with("activations", "clip", 1.01), kCorrupt, "activations.clip is 1.01");
    expect_corrupt(with("activations", "scales", "two-level"), kCorrupt, "whole rows");
    expect_corrupt(with("activations", "zero_point", "odd"), kCorrupt, "zero_point is \"odd\"");
    expect_corrupt(with("k", "bits", 0), kCorrupt, "k.bits is 0");
    expect_corrupt(with("v", "clip", -0.5), kCorrupt, "v.clip is -0.5");
    expect_corrupt(with("v", "axis", "channel"), kCorrupt, "v.axis is \"channel\"");
    expect_corrupt(with("rotation", "residual", "hartley"), kCorrupt, "rotation.residual");
    expect_corrupt(with("rotation", "seed", 4294967296), kCorrupt, "rotation.seed");
    expect_corrupt(with("rotation", "ffn_block", -1), kCorrupt, "rotation.ffn_block");
    expect_corrupt(with("rotation", io::Json(3)), kCorrupt, "rotation");
    expect_corrupt(with("down_bits", 1), kCorrupt, "down_bits is 1");
    expect_corrupt(with("head_bits", 0), kCorrupt, "head_bits is 0");
    expect_corrupt(with("storage", "i8"), kCorrupt, "storage is \"i8\"");
    expect_corrupt(with("embedding_bits", 1), kCorrupt, "embedding_bits is 1");
    expect_corrupt(with("tied_rotation", "yes"), kCorrupt, "tied_rotation");
    expect_corrupt(with("head_group_size", 6), kCorrupt, "head_group_size is 6");
    expect_corrupt(with("tp_max", 0), kCorrupt, "tp_max is 0");
    expect_corrupt(with("k_bias", "drop"), kCorrupt, "k_bias is \"drop\"");
    expect_corrupt(with("recipe", "none"), kCorrupt, "recipe is \"none\"");
    expect_corrupt(with("recipe", ""), kCorrupt, "expected the name of a recipe");
    expect_corrupt(with("recipe", std::string(65, 'a')), kCorrupt, "recipe");
    expect_corrupt(with("format_version", 0), kCorrupt, "format_version is 0");
}

TEST(RecipeJson, RefusesFoldersOfLaterVersions) {
    constexpr ErrorCode kUnsupported = ErrorCode::Unsupported;
    expect_corrupt(with("format_version", 5), kUnsupported, "update the program");
    expect_corrupt(with("k", "group_size", 64), kUnsupported, "groups of 64 inside a head of K");
    expect_corrupt(with("v", "exempt_positions", 4), kUnsupported, "exempt positions");
}

TEST(RecipeJson, RefusesWhatNoRecipeMayCombine) {
    constexpr ErrorCode kCorrupt = ErrorCode::Corrupt;
    expect_corrupt(with("k", "block", 32), kCorrupt,
                   "config.json: k.block is of keys by channel, and k.axis is token");
    expect_corrupt(with("weights", "refit_share", 0.5), kCorrupt, "of refitted weights");
    expect_corrupt(with("weights", "scale_search", "hessian"), kCorrupt, "is of GPTQ");
    expect_corrupt(with("rotation", "residual", "aligned"), kCorrupt, "aligned gathers");
}

// Older programs would run them with other numbers.
TEST(RecipeJson, SettingsThatOlderProgramsPassOverAreOfVersion4) {
    const auto version = [](auto change) {
        Recipe recipe = named_recipe("quarot-rtn");
        change(recipe);
        return to_json(recipe).at("format_version").as_int();
    };
    EXPECT_EQ(version([](Recipe&) {}), 2);
    EXPECT_EQ(version([](Recipe& r) { r.rotation.aligned_values = true; }), 2) << "folded";
    EXPECT_EQ(version([](Recipe& r) { r.weights.target = WeightTarget::Refit; }), 2);
    EXPECT_EQ(version([](Recipe& r) { r.rotation.residual = ResidualRotation::Aligned; }), 3);
    EXPECT_EQ(version([](Recipe& r) { r.activations.first_positions = 4; }), 4);
    EXPECT_EQ(version([](Recipe& r) { r.site_bits.mlp_in = 8; }), 4);
    EXPECT_EQ(version([](Recipe& r) { r.clip_search = true; }), 4);
    EXPECT_EQ(version([](Recipe& r) { r.v.scales = DType::F16; }), 4);
}

TEST(ChangedSettings, AreNamedFromTheNearestRecipe) {
    Recipe recipe = named_recipe("w4a8kv4");
    EXPECT_TRUE(changed_settings(recipe, recipe).empty());
    recipe.weights.bits = 5;
    recipe.storage = DType::BF16;
    recipe.rotation.seed = 9;
    recipe.calibration.n_samples = 3;
    recipe.name = "custom";
    EXPECT_EQ(nearest_name(recipe), "w4a8kv4");
    const auto changes = changed_settings(named_recipe("w4a8kv4"), recipe);
    ASSERT_EQ(changes.size(), 2u);
    EXPECT_EQ(changes[0].key, "weights.bits");
    EXPECT_EQ(changes[0].value, "5");
    EXPECT_EQ(changes[1].key, "storage");
    EXPECT_EQ(changes[1].value, "\"bf16\"");
    const Recipe best = named_recipe("best4.5");
    EXPECT_TRUE(changed_settings(best, best).empty());
    recipe = best;
    recipe.rotation.aligned_values = false;
    ASSERT_EQ(changed_settings(best, recipe).size(), 1u);
    EXPECT_EQ(changed_settings(best, recipe)[0].key, "rotation.aligned_values");
    EXPECT_EQ(changed_settings(best, recipe)[0].value, "false");
    recipe = named_recipe("w4a8kv4");
    recipe.weights.bits = 5;
    recipe.storage = DType::BF16;
    recipe.outliers = named_recipe("quik-4b").outliers;
    EXPECT_EQ(changed_settings(named_recipe("w4a8kv4"), recipe).size(), 4u)
        << "bits, storage, share and sizes by the hidden one";
}

}  // namespace quarot::folder
