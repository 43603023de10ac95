// Which settings are refused, and what is said of them?
#include "recipe/recipe.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "core/expect_error.h"

namespace quarot {

namespace {

void expect_refused(const Recipe& recipe, ErrorCode code, const std::string& words) {
    expect_error(code, {words}, [&] { check_recipe(recipe); });
}

}  // namespace

TEST(CheckRecipe, NamesTheSettingThatIsOutOfRange) {
    const Recipe good = named_recipe("quarot-rtn");
    Recipe bad = good;
    bad.weights.bits = 9;
    expect_refused(bad, ErrorCode::Usage, "`weights.bits` is 9");
    bad = good;
    bad.activations.bits = 1;
    expect_refused(bad, ErrorCode::Usage, "`activations.bits` is 1");
    bad = good;
    bad.k.bits = 0;
    expect_refused(bad, ErrorCode::Usage, "`k.bits` is 0");
    bad = good;
    bad.v.bits = -4;
    expect_refused(bad, ErrorCode::Usage, "`v.bits` is -4");
    bad = good;
    bad.activations.clip = 0.0f;
    expect_refused(bad, ErrorCode::Usage, "`activations.clip` is 0");
    bad = good;
    bad.k.clip = 1.5f;
    expect_refused(bad, ErrorCode::Usage, "`k.clip` is 1.5");
    bad = good;
    bad.v.clip = std::numeric_limits<float>::quiet_NaN();
    expect_refused(bad, ErrorCode::Usage, "`v.clip` is nan");
    bad = good;
    bad.down_bits = 12;
    expect_refused(bad, ErrorCode::Usage, "`down_bits` is 12");
    bad = good;
    bad.head_bits = 0;
    expect_refused(bad, ErrorCode::Usage, "`head_bits` is 0");
    bad = good;
    bad.embedding_bits = 9;
    expect_refused(bad, ErrorCode::Usage, "`embedding_bits` is 9");
    bad = good;
    bad.head_group_size = 6;
    expect_refused(bad, ErrorCode::Usage, "`head_group_size` is 6");
    bad = good;
    bad.weights.method = "../magic";
    expect_refused(bad, ErrorCode::Usage, "`weights.method` is ../magic");
    bad = good;
    bad.weights.group_size = -1;
    expect_refused(bad, ErrorCode::Usage, "`weights.group_size` is -1");
    bad = good;
    bad.rotation.fold_norms = false;
    expect_refused(bad, ErrorCode::Usage, "norm gains");
    bad = good;
    bad.storage = DType::I8;
    expect_refused(bad, ErrorCode::Usage, "`storage` is I8");
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
    refuse([](Recipe& r) { r.weights.group_size = 6; }, "`weights.group_size` is 6");
    refuse([](Recipe& r) { r.activations.group_size = -64; }, "`activations.group_size` is -64");
    refuse([](Recipe& r) { r.weights.damp = -0.1; }, "`weights.damp` is -0.1");
    refuse([](Recipe& r) { r.weights.damp = std::nan(""); }, "`weights.damp`");
    refuse([](Recipe& r) { r.activations.zero = kernels::ZeroPoint::Real; },
           "`activations.zero_point` real needs");
    refuse([](Recipe& r) { r.calibration.n_samples = 0; }, "`calibration.nsamples` is 0");
    refuse([](Recipe& r) { r.calibration.seqlen = 1; }, "`calibration.seqlen` is 1");
}

TEST(CheckRecipe, TwoLevelScalesNeedGroupsAndNoIntegerZeroPoints) {
    Recipe recipe = named_recipe("quarot-64g");
    recipe.activations.scales = kernels::ActivationScales::TwoLevel;
    check_recipe(recipe);
    recipe.activations.symmetric = false;
    expect_refused(recipe, ErrorCode::Usage, "expected `activations.zero_point` real");
    recipe.activations.zero = kernels::ZeroPoint::Real;
    check_recipe(recipe);
    recipe.activations.group_size = 0;
    expect_refused(recipe, ErrorCode::Usage, "needs groups (`activations.group_size`)");
}

TEST(CheckRecipe, WeighsErrorsByInputsWhereGptqSearchesClips) {
    Recipe recipe = named_recipe("quarot");
    recipe.weights.scale_search = ScaleSearch::Hessian;
    check_recipe(recipe);
    recipe.weights.clip_search = false;
    expect_refused(recipe, ErrorCode::Usage, "nothing is searched without `weights.clip_search`");
    recipe.weights.clip_search = true;
    recipe.weights.method = "rtn";
    expect_refused(recipe, ErrorCode::Usage,
                   "`weights.scale_search` is of GPTQ, which looks at a text, and `weights.method` "
                   "is rtn, expected gptq");
}

TEST(CheckRecipe, RefitsWeightsOfGptqToQuantizedInputs) {
    Recipe recipe = named_recipe("quarot");
    recipe.weights.target = WeightTarget::Refit;
    expect_refused(recipe, ErrorCode::Usage,
                   "`weights.target` refit fits weights to inputs of the quantized model, and "
                   "`calibration.activations` is full");
    recipe.calibration.activations = CalibrationActivations::Quantized;
    check_recipe(recipe);
    recipe.weights.method = "rtn";
    expect_refused(recipe, ErrorCode::Usage, "`weights.target` is of GPTQ");
}

TEST(SetRotation, TakesPartsOneByOne) {
    Recipe recipe = named_recipe("quarot-random");
    set_rotation(recipe, "r4,r2");
    EXPECT_EQ(recipe.rotation, (RotationSpec{.value_heads = true, .ffn = true}));
    set_rotation(recipe, "heads,r1");
    EXPECT_EQ(recipe.rotation,
              (RotationSpec{
                  .residual = ResidualRotation::Hadamard, .head_mix = true, .fold_norms = true}));
    set_rotation(recipe, "r3");
    EXPECT_EQ(recipe.rotation, RotationSpec{.query_key = true});
    set_rotation(recipe, "r1,r2,r3,r4,heads");
    EXPECT_EQ(recipe.rotation, named_recipe("quarot").rotation);
}

TEST(SetRotation, AlignedIsAllOfItWithAnAlignedR1) {
    Recipe recipe = named_recipe("quarot-rtn");
    EXPECT_FALSE(recipe.rotation.looks_at_text());
    RotationSpec expected = recipe.rotation;
    expected.residual = ResidualRotation::Aligned;
    set_rotation(recipe, "aligned");
    EXPECT_EQ(recipe.rotation, expected);
    EXPECT_TRUE(recipe.rotation.looks_at_text() && recipe.rotation.has_dense_residual());
}

TEST(CheckRecipe, AlignsR1ToGroupsThatAHadamardFills) {
    Recipe recipe = named_recipe("quarot-rtn");
    set_rotation(recipe, "aligned");
    expect_refused(recipe, ErrorCode::Usage, "a token has one scale");
    recipe.activations.group_size = 48;
    expect_refused(recipe, ErrorCode::Usage, "power of two");
    recipe.activations.group_size = 64;
    EXPECT_NO_THROW(check_recipe(recipe));
    recipe.rotation.residual_block = 64;
    expect_refused(recipe, ErrorCode::Usage, "blocks of 64");
}

TEST(CheckRecipe, AlignsValuesWhereR2Is) {
    Recipe recipe = named_recipe("quarot-rtn");
    recipe.rotation.aligned_values = true;
    EXPECT_NO_THROW(check_recipe(recipe));
    EXPECT_TRUE(recipe.rotation.looks_at_text());
    recipe.rotation.value_heads = false;
    expect_refused(recipe, ErrorCode::Usage, "there is none");
    recipe.rotation.value_heads = true;
    set_rotation(recipe, "r1,r4");
    EXPECT_NO_THROW(check_recipe(recipe)) << "gone with R2";
    EXPECT_FALSE(recipe.rotation.looks_at_text());
    recipe.rotation.up_balance = 0.5;
    EXPECT_TRUE(recipe.rotation.looks_at_text());
}

TEST(CheckRecipe, WantsTheDigestOfAnR1FromAFileAndAWholeMatrix) {
    Recipe recipe = named_recipe("quarot-rtn");
    recipe.rotation.residual = ResidualRotation::File;
    expect_refused(recipe, ErrorCode::Usage, "no digest");
    recipe.rotation.residual_sha256 = std::string(64, 'a');
    EXPECT_NO_THROW(check_recipe(recipe));
    EXPECT_EQ(rotation_parts(recipe.rotation), "r1,r2,r3,r4,heads");
    recipe.rotation.residual_block = 16;
    expect_refused(recipe, ErrorCode::Usage, "blocks of 16");
    recipe = named_recipe("quarot-rtn");
    recipe.rotation.residual_sha256 = std::string(64, 'a');
    expect_refused(recipe, ErrorCode::Usage, "not from one");
    set_rotation(recipe, "r1");
    EXPECT_NO_THROW(check_recipe(recipe)) << "a Hadamard again";
}

TEST(SetRotation, KeepsItsThreeWords) {
    Recipe recipe = named_recipe("rtn");
    set_rotation(recipe, "hadamard");
    EXPECT_EQ(recipe.rotation, named_recipe("quarot").rotation);
    set_rotation(recipe, "random");
    EXPECT_EQ(recipe.rotation, named_recipe("quarot-random").rotation);
    set_rotation(recipe, "none");
    EXPECT_EQ(recipe.rotation, RotationSpec{});
}

TEST(SetRotation, LeavesWhatATextDecidesToTheWordThatSaysSo) {
    for (const std::string how : {"hadamard", "random", "none"}) {
        Recipe recipe = named_recipe("best4.5");
        set_rotation(recipe, how);
        EXPECT_FALSE(recipe.rotation.looks_at_text()) << how;
    }
    Recipe recipe = named_recipe("best4.5");
    set_rotation(recipe, "aligned");
    EXPECT_EQ(recipe.rotation, named_recipe("best4.5").rotation);
}

TEST(SetRotation, RefusesOtherWordsAndNamesThem) {
    for (const std::string how : {"", "r5", "r1,", ",r1", "r1,r1", "R1", "r1 r2", "none,r1"}) {
        SCOPED_TRACE(how);
        Recipe recipe = named_recipe("quarot");
        expect_error(ErrorCode::Usage, {"`rotation.residual` is " + how + ", expected hadamard"},
                     [&] { set_rotation(recipe, how); });
    }
}

TEST(RotationParts, SayWhatSetRotationTakes) {
    for (const char* parts : {"none", "r1", "r2,r4", "r3,heads", "r1,r2,r3,r4,heads"}) {
        Recipe recipe;
        set_rotation(recipe, parts);
        EXPECT_EQ(rotation_parts(recipe.rotation), parts);
    }
    EXPECT_EQ(rotation_parts(named_recipe("quarot-random").rotation), "r1,r2,r3,r4,heads");
}

}  // namespace quarot
