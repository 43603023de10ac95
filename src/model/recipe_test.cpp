#include "model/recipe.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>

#include "core/error.h"

namespace quarot::model {

namespace {

void expect_equal(const kernels::KvFormat& a, const kernels::KvFormat& b) {
    EXPECT_EQ(a.bits, b.bits);
    EXPECT_EQ(a.axis, b.axis);
    EXPECT_EQ(a.group_size, b.group_size);
    EXPECT_EQ(a.clip, b.clip);
    EXPECT_EQ(a.exempt_positions, b.exempt_positions);
    EXPECT_EQ(a.range_includes_zero, b.range_includes_zero);
}

void expect_equal(const Recipe& a, const Recipe& b) {
    EXPECT_EQ(a.name, b.name);
    EXPECT_EQ(a.rotation.residual, b.rotation.residual);
    EXPECT_EQ(a.rotation.value_heads, b.rotation.value_heads);
    EXPECT_EQ(a.rotation.query_key, b.rotation.query_key);
    EXPECT_EQ(a.rotation.ffn, b.rotation.ffn);
    EXPECT_EQ(a.rotation.fold_norms, b.rotation.fold_norms);
    EXPECT_EQ(a.rotation.seed, b.rotation.seed);
    EXPECT_EQ(a.rotation.residual_block, b.rotation.residual_block);
    EXPECT_EQ(a.rotation.heads_block, b.rotation.heads_block);
    EXPECT_EQ(a.rotation.ffn_block, b.rotation.ffn_block);
    EXPECT_EQ(a.rotation.online_dtype, b.rotation.online_dtype);
    EXPECT_EQ(a.weights.method, b.weights.method);
    EXPECT_EQ(a.weights.bits, b.weights.bits);
    EXPECT_EQ(a.weights.group_size, b.weights.group_size);
    EXPECT_EQ(a.weights.symmetric, b.weights.symmetric);
    EXPECT_EQ(a.weights.clip_search, b.weights.clip_search);
    EXPECT_EQ(a.weights.damp, b.weights.damp);
    EXPECT_EQ(a.weights.act_order, b.weights.act_order);
    EXPECT_EQ(a.weights.group_scales, b.weights.group_scales);
    EXPECT_EQ(a.calibration.n_samples, b.calibration.n_samples);
    EXPECT_EQ(a.calibration.seqlen, b.calibration.seqlen);
    EXPECT_EQ(a.calibration.windows, b.calibration.windows);
    EXPECT_EQ(a.calibration.activations, b.calibration.activations);
    EXPECT_EQ(a.activations.bits, b.activations.bits);
    EXPECT_EQ(a.activations.group_size, b.activations.group_size);
    EXPECT_EQ(a.activations.symmetric, b.activations.symmetric);
    EXPECT_EQ(a.activations.clip, b.activations.clip);
    EXPECT_EQ(a.activations.zero, b.activations.zero);
    expect_equal(a.k, b.k);
    expect_equal(a.v, b.v);
    EXPECT_EQ(a.down_bits, b.down_bits);
    EXPECT_EQ(a.head_bits, b.head_bits);
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
                       .query_key = true,
                       .ffn = true,
                       .fold_norms = true,
                       .online_dtype = DType::F16,
                       .seed = 4294967295u,
                       .residual_block = 64,
                       .heads_block = 4,
                       .ffn_block = 128};
    recipe.weights = {.method = "gptq",
                      .bits = 3,
                      .group_size = 96,
                      .symmetric = false,
                      .clip_search = false,
                      .damp = 0.125,
                      .act_order = true,
                      .group_scales = GroupScales::BlockStart};
    recipe.activations = {.bits = 5,
                          .group_size = 32,
                          .symmetric = false,
                          .clip = 0.7f,
                          .zero = kernels::ZeroPoint::Real};
    recipe.calibration = {.n_samples = 7,
                          .seqlen = 100,
                          .windows = CalibrationWindows::First,
                          .activations = CalibrationActivations::Quantized};
    recipe.k = {.bits = 2, .clip = 0.85f, .range_includes_zero = false};
    recipe.v = {.bits = 7, .clip = 1.0f, .range_includes_zero = true};
    recipe.down_bits = 8;
    recipe.head_bits = 6;
    recipe.storage = DType::BF16;
    return recipe;
}

ErrorCode code_of(const std::function<void()>& action, std::string& message) {
    try {
        action();
    } catch (const Error& error) {
        message = error.what();
        return error.code();
    }
    message = "no error";
    return ErrorCode::Internal;
}

void expect_refused(const Recipe& recipe, ErrorCode code, const std::string& words) {
    std::string message;
    EXPECT_EQ(code_of([&] { check_recipe(recipe); }, message), code) << message;
    EXPECT_NE(message.find(words), std::string::npos) << message;
}

// The JSON of the default recipe with one change.
void expect_corrupt(const std::function<void(io::Json&)>& change, ErrorCode code,
                    const std::string& words) {
    io::Json json = to_json(named_recipe("quarot-rtn"));
    change(json);
    const io::Json read = io::Json::parse(json.dump(), "config.json");
    std::string message;
    EXPECT_EQ(code_of([&] { recipe_from_json(read); }, message), code) << message;
    EXPECT_NE(message.find(words), std::string::npos) << message;
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

std::function<void(io::Json&)> without(const std::string& key) {
    return [=](io::Json& json) {
        std::erase_if(json.as_object(), [&](const auto& member) { return member.first == key; });
    };
}

bool rotates(const RotationSpec& spec) {
    return spec.residual != ResidualRotation::None || spec.value_heads || spec.query_key ||
           spec.ffn;
}

}  // namespace

TEST(NamedRecipe, DefaultIsThePapersQuantizersOnARotatedModel) {
    const Recipe recipe = named_recipe(default_recipe_name());
    EXPECT_EQ(recipe.name, "quarot");
    EXPECT_EQ(recipe.weights.method, "gptq");
    EXPECT_EQ(recipe.rotation.residual, ResidualRotation::Hadamard);
    EXPECT_TRUE(recipe.rotation.value_heads && recipe.rotation.query_key && recipe.rotation.ffn &&
                recipe.rotation.fold_norms);
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
    EXPECT_EQ(recipe.storage, DType::F32);
}

TEST(NamedRecipe, NamesSayTheWidths) {
    const Recipe mixed = named_recipe("w4a8kv4");
    EXPECT_EQ(mixed.weights.bits, 4);
    EXPECT_EQ(mixed.activations.bits, 8);
    EXPECT_EQ(mixed.k.bits, 4);
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

TEST(NamedRecipe, RtnIsTheSameWithoutRotation) {
    Recipe recipe = named_recipe("rtn");
    EXPECT_FALSE(rotates(recipe.rotation));
    EXPECT_FALSE(recipe.rotation.fold_norms);
    EXPECT_FALSE(recipe.storage.has_value()) << "what is not rotated keeps its dtype";
    const Recipe rotated = named_recipe("quarot-rtn");
    recipe.name = rotated.name;
    recipe.rotation = rotated.rotation;
    recipe.storage = rotated.storage;
    expect_equal(recipe, rotated);
}

TEST(NamedRecipe, AnUnknownNameListsAll) {
    std::string message;
    EXPECT_EQ(code_of([] { named_recipe("w3"); }, message), ErrorCode::Usage);
    for (const std::string& name : recipe_names()) {
        EXPECT_NE(message.find(name), std::string::npos) << message;
    }
}

TEST(NamedRecipe, EveryListedNameExistsAndPassesTheCheck) {
    for (const std::string& name : recipe_names()) {
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
    std::map<std::string, std::string> names;
    for (const std::string& name : recipe_names()) {
        if (name == "kv4-clip95") continue;  // k4v4 as Table 5 calls it
        Recipe recipe = named_recipe(name);
        recipe.name.clear();
        const auto [known, is_new] = names.emplace(to_json(recipe).dump(), name);
        EXPECT_TRUE(is_new) << name << " is " << known->second;
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

TEST(CheckRecipe, NamesTheFlagThatIsOutOfRange) {
    const Recipe good = named_recipe("quarot-rtn");
    Recipe bad = good;
    bad.weights.bits = 9;
    expect_refused(bad, ErrorCode::Usage, "--w-bits is 9");
    bad = good;
    bad.activations.bits = 1;
    expect_refused(bad, ErrorCode::Usage, "--a-bits is 1");
    bad = good;
    bad.k.bits = 0;
    expect_refused(bad, ErrorCode::Usage, "--k-bits is 0");
    bad = good;
    bad.v.bits = -4;
    expect_refused(bad, ErrorCode::Usage, "--v-bits is -4");
    bad = good;
    bad.activations.clip = 0.0f;
    expect_refused(bad, ErrorCode::Usage, "--a-clip is 0");
    bad = good;
    bad.k.clip = 1.5f;
    expect_refused(bad, ErrorCode::Usage, "--k-clip is 1.5");
    bad = good;
    bad.v.clip = std::numeric_limits<float>::quiet_NaN();
    expect_refused(bad, ErrorCode::Usage, "--v-clip is nan");
    bad = good;
    bad.down_bits = 12;
    expect_refused(bad, ErrorCode::Usage, "--down-bits is 12");
    bad = good;
    bad.head_bits = 0;
    expect_refused(bad, ErrorCode::Usage, "--head-bits is 0");
    bad = good;
    bad.weights.method = "magic";
    expect_refused(bad, ErrorCode::Usage, "--method is magic");
    bad = good;
    bad.weights.group_size = -1;
    expect_refused(bad, ErrorCode::Usage, "--group-size is -1");
    bad = good;
    bad.rotation.fold_norms = false;
    expect_refused(bad, ErrorCode::Usage, "norm gains");
    bad = good;
    bad.storage = DType::I8;
    expect_refused(bad, ErrorCode::Usage, "--dtype is I8");
}

TEST(CheckRecipe, RefusesWhatThisVersionLacks) {
    const Recipe good = named_recipe("quarot-rtn");
    Recipe bad = good;
    bad.k.group_size = 32;
    expect_refused(bad, ErrorCode::Unsupported, "expected whole heads");
    bad = good;
    bad.v.exempt_positions = 4;
    expect_refused(bad, ErrorCode::Unsupported, "exempt positions");
}

TEST(CheckRecipe, RefusesSettingsOutOfRange) {
    const Recipe good = named_recipe("quarot");
    const auto refuse = [&](const std::function<void(Recipe&)>& change, const std::string& words) {
        Recipe bad = good;
        change(bad);
        expect_refused(bad, ErrorCode::Usage, words);
    };
    refuse([](Recipe& r) { r.weights.group_size = 6; }, "--group-size is 6");
    refuse([](Recipe& r) { r.activations.group_size = -64; }, "--a-group-size is -64");
    refuse([](Recipe& r) { r.weights.method = "awq"; }, "--method is awq");
    refuse([](Recipe& r) { r.weights.damp = -0.1; }, "--damp is -0.1");
    refuse([](Recipe& r) { r.weights.damp = std::nan(""); }, "--damp");
    refuse([](Recipe& r) { r.activations.zero = kernels::ZeroPoint::Real; }, "--a-zero real needs");
    refuse([](Recipe& r) { r.calibration.n_samples = 0; }, "--nsamples is 0");
    refuse([](Recipe& r) { r.calibration.seqlen = 1; }, "--seqlen is 1");
}

TEST(CheckGroups, NamesTheSizesThatDivide) {
    const ModelConfig config = {.hidden = 576, .ffn = 1536, .n_heads = 9, .head_dim = 64};
    Recipe recipe = named_recipe("quarot-64g");
    EXPECT_NO_THROW(check_groups(recipe, config));
    std::string message;
    recipe = named_recipe("quarot-128g");
    EXPECT_EQ(code_of([&] { check_groups(recipe, config); }, message), ErrorCode::Usage);
    EXPECT_NE(message.find("does not divide the 576 inputs of q_proj"), std::string::npos);
    EXPECT_NE(message.find("16, 32, 48, 64, 96, 192"), std::string::npos) << message;
}

TEST(RecipeJson, KeepsEveryFieldOfEveryRecipe) {
    for (const std::string& name : recipe_names()) {
        SCOPED_TRACE(name);
        expect_equal(through_json(named_recipe(name)), named_recipe(name));
    }
    expect_equal(through_json(unlike_any_default()), unlike_any_default());
}

TEST(RecipeJson, WritesClipsAsTheyAreSpoken) {
    const io::Json json = to_json(named_recipe("quarot-rtn"));
    EXPECT_EQ(json.at("quant_method").as_string(), "quarot");
    EXPECT_EQ(json.at("activations").at("clip").dump(), "0.9");
    EXPECT_EQ(json.at("k").at("clip").dump(), "0.95");
    EXPECT_EQ(to_json(named_recipe("rtn")).at("storage").as_string(), "keep");
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
        expect_corrupt(without(key), ErrorCode::Corrupt, key);
        if (!value.is_object()) continue;
        for (const auto& [inner, unused] : value.as_object()) {
            SCOPED_TRACE(inner);
            const auto remove_inner = [&outer = key, &name = inner](io::Json& json) {
                io::Json section = json.at(outer);
                without(name)(section);
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
    expect_corrupt(with("activations", "zero_point", "real"), kCorrupt, "symmetric codes");
    expect_corrupt(with("rotation", "online_dtype", "bf16"), kCorrupt, "online_dtype is \"bf16\"");
    expect_corrupt(with("calibration", "nsamples", 0), kCorrupt, "calibration.nsamples");
    expect_corrupt(with("calibration", "windows", "last"), kCorrupt, "calibration.windows");
    expect_corrupt(with("weights", "symmetric", 1), kCorrupt, "weights.symmetric");
    expect_corrupt(with("activations", "bits", 32), kCorrupt, "activations.bits is 32");
    expect_corrupt(with("activations", "clip", 0), kCorrupt, "activations.clip is 0");
    expect_corrupt(with("activations", "clip", 1e-60), kCorrupt, "activations.clip");
    expect_corrupt(with("activations", "clip", 1.01), kCorrupt, "activations.clip is 1.01");
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
    expect_corrupt(with("recipe", "none"), kCorrupt, "recipe is \"none\"");
    expect_corrupt(with("recipe", ""), kCorrupt, "expected the name of a recipe");
    expect_corrupt(with("recipe", std::string(65, 'a')), kCorrupt, "recipe");
    expect_corrupt(with("format_version", 0), kCorrupt, "format_version is 0");
}

TEST(RecipeJson, RefusesFoldersOfLaterVersions) {
    constexpr ErrorCode kUnsupported = ErrorCode::Unsupported;
    expect_corrupt(with("format_version", 2), kUnsupported, "update the program");
    expect_corrupt(with("k", "group_size", 64), kUnsupported, "groups inside a head");
    expect_corrupt(with("v", "exempt_positions", 4), kUnsupported, "exempt positions");
}

}  // namespace quarot::model
