// Is a setting that hurts turned back, and one that helps kept?
#include "search/guard.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "quantize/folder_fixture_for_tests.h"

namespace quarot::search {
namespace {

using quantize::QuantizeOptions;

class GuardTest : public quantize::FolderTest {
  protected:
    GuardTest() {
        write({.hidden = 64, .ffn = 96, .n_heads = 4, .head_dim = 16, .seed = 3});
        for (int32_t i = 0; i < 192; ++i) text.ids.push_back((i * i * 31 + 7 * i) % 256);
        text.seqlen = 48;
    }

    static QuantizeOptions options() {
        QuantizeOptions options = quantize::with_recipe("quarot");
        options.recipe.weights.group_size = options.recipe.activations.group_size = 16;
        for (int32_t w = 0; w < 4; ++w) {
            std::vector<int32_t>& window = options.calibration.emplace_back();
            for (int32_t i = 0; i < 48; ++i) window.push_back((i * i * 17 + i * w + 5 * w) % 256);
        }
        return options;
    }

    GuardResult guarded(const QuantizeOptions& options) const {
        return guard(folder::SourceModel::open(in), options, text, out);
    }

    HeldOutText text;
};

const KnobVerdict& verdict_of(const GuardResult& result, std::string_view name) {
    const auto found =
        std::find_if(result.verdicts.begin(), result.verdicts.end(),
                     [&](const KnobVerdict& verdict) { return verdict.knob.name == name; });
    EXPECT_NE(found, result.verdicts.end()) << name;
    return *found;
}

TEST_F(GuardTest, TurnsBackAPlantedClip) {
    QuantizeOptions bad = options();
    bad.recipe.activations.clip = 0.3f;  // cuts most of a row's larger values
    const GuardResult result = guarded(bad);
    EXPECT_TRUE(left_behind().empty());
    ASSERT_EQ(result.verdicts.size(), 1u);
    EXPECT_TRUE(result.verdicts.front().is_reverted);
    EXPECT_LT(result.kl, 0.5 * result.verdicts.front().kl);
    EXPECT_EQ(result.recipe.activations.clip, 0.9f);
}

TEST_F(GuardTest, TurnsBackAPlantedRefit) {
    QuantizeOptions bad = options();
    bad.recipe.calibration.activations = CalibrationActivations::Quantized;
    bad.recipe.weights.target = WeightTarget::Refit;
    bad.recipe.weights.refit_share = 1.0;
    const GuardResult result = guarded(bad);
    EXPECT_TRUE(verdict_of(result, "share of the refit").is_reverted);
    EXPECT_EQ(result.recipe.weights.refit_share, 0.25);
    EXPECT_LT(result.kl, verdict_of(result, "share of the refit").kl);
}

TEST_F(GuardTest, KeepsWhatHelps) {
    QuantizeOptions good = options();
    good.recipe = with_changes(good.recipe, {{"activations.symmetric", false},
                                             {"activations.zero_point", std::string("real")},
                                             {"activations.clip", 1.0}});
    const GuardResult result = guarded(good);
    EXPECT_FALSE(verdict_of(result, "clip of activations").is_reverted);
    EXPECT_EQ(result.recipe.activations, good.recipe.activations);
}

// Hands out names for folders and one KL for all, but for a clip ratio of activations of 0.9.
class NamedTrial final : public Trial {
  public:
    std::optional<double> kl_at_nine_tenths;  // empty: NaN arises
    std::vector<Recipe> recipes;              // of the folders

    std::string made(const Recipe& recipe, const std::string& name) override {
        recipes.push_back(recipe);
        return "/scratch/" + name;
    }
    double kl_of(const std::string&, const SettingChanges& changes) override {
        if (std::get<double>(changes.at("activations.clip")) != 0.9) return 0.5;
        if (!kl_at_nine_tenths) fail(ErrorCode::Numeric, "NaN or Inf");
        return *kl_at_nine_tenths;
    }
};

TEST(Guard, KeepsWhatNothingCanBePredictedWithout) {
    Recipe recipe = named_recipe("quarot");
    recipe.activations.clip = 1.0f;
    NamedTrial trial;
    const GuardResult result = guard(recipe, trial);
    ASSERT_EQ(result.verdicts.size(), 1u);
    EXPECT_FALSE(result.verdicts.front().is_reverted);
    EXPECT_EQ(result.verdicts.front().kl_without, std::nullopt);
    EXPECT_EQ(result.recipe.activations, recipe.activations);
    EXPECT_EQ(result.kl, 0.5);
    EXPECT_TRUE(to_json(result).at("knobs").as_array()[0].at("kl_without").is_null());
}

// The KL that is told is that of the folder which will be written.
TEST(Guard, QuantizesAgainWhereCodesDependOnTheRun) {
    Recipe recipe = named_recipe("quarot");
    recipe.activations.clip = 1.0f;
    NamedTrial full;
    full.kl_at_nine_tenths = 0.1;
    EXPECT_TRUE(guard(recipe, full).verdicts.front().is_reverted);
    EXPECT_EQ(full.recipes.size(), 1u) << "calibrated in full precision";
    recipe.calibration.activations = CalibrationActivations::Quantized;
    NamedTrial quantized;
    quantized.kl_at_nine_tenths = 0.1;
    const GuardResult result = guard(recipe, quantized);
    ASSERT_EQ(quantized.recipes.size(), 3u) << "as it is, calibrated otherwise, and clipped";
    EXPECT_EQ(quantized.recipes.back().activations.clip, 0.9f);
    EXPECT_EQ(quantized.recipes.back().weights, result.recipe.weights);
}

TEST(KnobsOf, AreWhatARecipeHasTurnedAndMayTurnBack) {
    const auto names = [](const Recipe& recipe) {
        std::vector<std::string_view> list;
        for (const Knob& knob : knobs_of(recipe)) list.push_back(knob.name);
        return list;
    };
    using Names = std::vector<std::string_view>;
    EXPECT_EQ(names(named_recipe("quarot")), Names{});
    EXPECT_EQ(names(named_recipe("quarot+")),
              (Names{"refit", "scale search", "act-order", "clip of activations", "axis of keys",
                     "clip of K", "clip of V", "first positions"}))
        << "calibrating on quantized activations is what the refit needs";
    Recipe recipe = named_recipe("quarot+");
    recipe.weights.refit_share = 1.0;
    recipe.k.block = 32;
    EXPECT_EQ(names(recipe).size(), names(named_recipe("quarot+")).size() + 1)
        << "the share, which goes with the refit as the blocks do with the axis";
    recipe = named_recipe("quarot");
    recipe.calibration.activations = CalibrationActivations::Quantized;
    set_rotation(recipe, "r4");
    EXPECT_EQ(names(recipe), Names{"calibration on quantized activations"});
}

}  // namespace
}  // namespace quarot::search
