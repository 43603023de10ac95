// Are bits spent where they give most, never where they hurt, and never more than there are?
#include "search/budget.h"

#include <gtest/gtest.h>

#include "core/expect_error.h"
#include "kernels/backend.h"
#include "model/bits_per_value.h"
#include "quantize/folder_fixture_for_tests.h"

namespace quarot::search {
namespace {

using quantize::QuantizeOptions;

PlaceChoice choice(Place place, double gain, double extra_bits) {
    return {.place = place,
            .bits = 4,
            .wide_bits = 8,
            .kl = gain + 0.01,
            .wide_kl = 0.01,
            .extra_bits = extra_bits};
}

std::vector<Place> widened(std::vector<PlaceChoice> places, double extra_bits) {
    choose(places, extra_bits);
    std::vector<Place> chosen;
    for (const PlaceChoice& place : places) {
        if (place.is_widened) chosen.push_back(place.place);
    }
    return chosen;
}

TEST(Choose, WidensByGainABitWhatStillFits) {
    const std::vector<PlaceChoice> places = {choice(Place::Weights, 0.20, 1.0),  // 0.2 a bit
                                             choice(Place::AttnIn, 0.03, 0.1),   // 0.3
                                             choice(Place::DownIn, 0.20, 0.5),   // 0.4
                                             choice(Place::K, -0.01, 0.1),       // hurts
                                             choice(Place::V, 0.01, 0.2)};       // 0.05
    using Chosen = std::vector<Place>;
    EXPECT_EQ(widened(places, 0.0), Chosen{});
    EXPECT_EQ(widened(places, 0.1), Chosen{Place::AttnIn});
    EXPECT_EQ(widened(places, 0.5), Chosen{Place::DownIn});
    EXPECT_EQ(widened(places, 0.8), (Chosen{Place::AttnIn, Place::DownIn, Place::V}));
    EXPECT_EQ(widened(places, 9.0),
              (Chosen{Place::Weights, Place::AttnIn, Place::DownIn, Place::V}));
}

class BudgetTest : public quantize::FolderTest {
  protected:
    BudgetTest() {
        write({.hidden = 64, .ffn = 96, .n_heads = 4, .head_dim = 16, .seed = 3});
        for (int32_t i = 0; i < 96; ++i) text.ids.push_back((i * i * 31 + 7 * i) % 256);
        text.seqlen = 48;
    }

    static QuantizeOptions options() {
        QuantizeOptions options = quantize::with_recipe("quarot");
        options.recipe.weights.group_size = options.recipe.activations.group_size = 16;
        options.recipe.activations.clip = 1.0f;  // a clipped input gains little from 8 bits
        for (int32_t w = 0; w < 4; ++w) {
            std::vector<int32_t>& window = options.calibration.emplace_back();
            for (int32_t i = 0; i < 48; ++i) window.push_back((i * i * 17 + i * w + 5 * w) % 256);
        }
        return options;
    }

    folder::SourceModel source() const { return folder::SourceModel::open(in); }
    double bits() const { return mean_bits(options().recipe, source().config()); }

    HeldOutText text;
};

TEST_F(BudgetTest, PlansWhatItMeasuredAndLeavesNothingBehind) {
    const folder::SourceModel model = source();
    const QuantizeOptions job = options();
    const BudgetPlan plan = plan_budget(bits() + 0.7, model, job, text, out);
    EXPECT_TRUE(left_behind().empty());
    ASSERT_EQ(plan.places.size(), kPlaces.size());
    EXPECT_LE(plan.bits, plan.budget);
    EXPECT_GT(plan.bits, plan.recipe_bits);
    EXPECT_DOUBLE_EQ(plan.bits, mean_bits(plan.recipe, model.config()));
    const Widths widths = widths_of(plan.recipe);
    for (const PlaceChoice& place : plan.places) {
        SCOPED_TRACE(name_of(place.place));
        EXPECT_GT(place.kl, 0.0);
        const bool of_weights = place.place == Place::Weights || place.place == Place::DownWeights;
        ASSERT_EQ(place.wide_kl.has_value(), !of_weights);
        EXPECT_LT(place.wide_kl.value_or(0.0), 0.2 * place.kl);
        EXPECT_EQ(at(widths, place.place), place.is_widened ? 8 : 4);
    }
}

TEST_F(BudgetTest, MeasuresAPlaceWithTheOthersInFullPrecision) {
    const folder::SourceModel model = source();
    const BudgetPlan plan = plan_budget(bits(), model, options(), text, out);
    EXPECT_EQ(plan.bits, plan.recipe_bits) << "nothing fits";
    const auto backend = kernels::make_backend("cpu", {.n_threads = 1, .isa = ""});
    HeldOut held_out(model, text, *backend);
    const auto kl_of = [&](const Recipe& recipe, const QuantizeOptions& job) {
        QuantizeOptions alone = job;
        alone.recipe = recipe;
        alone.overwrite = true;
        quantize::quantize_model(in, out, alone);
        return held_out.kl_of(out, {});
    };
    Recipe keys = options().recipe;
    keys.weights.method = "rtn";
    keys.weights.bits = keys.activations.bits = keys.v.bits = 16;
    keys.storage = DType::F32;
    EXPECT_DOUBLE_EQ(plan.places[6].kl, kl_of(keys, quantize::with_recipe("quarot")));
    Recipe weights = options().recipe;
    weights.activations.bits = weights.k.bits = weights.v.bits = weights.down_bits = 16;
    weights.storage = DType::F32;
    EXPECT_DOUBLE_EQ(plan.places[0].kl, kl_of(weights, options()));
}

TEST_F(BudgetTest, ClipsActivationsAsTheRecipeWhereRatiosAreYetToBeSearched) {
    const folder::SourceModel model = source();
    QuantizeOptions job = options();
    const BudgetPlan plain = plan_budget(bits() + 0.7, model, job, text, out);
    job.recipe.clip_search = true;
    const BudgetPlan searched = plan_budget(bits() + 0.7, model, job, text, out);
    EXPECT_TRUE(searched.recipe.clip_search);
    for (size_t i = 0; i < plain.places.size(); ++i) {
        EXPECT_EQ(searched.places[i].kl, plain.places[i].kl) << name_of(plain.places[i].place);
    }
}

TEST_F(BudgetTest, CountsWeightsAsFoldersDo) {
    for (const int64_t group : {0, 16}) {
        QuantizeOptions job = options();
        job.recipe.weights = {.bits = 3, .group_size = group, .symmetric = group == 0};
        job.recipe.down_bits = 6;
        job.overwrite = true;
        const auto report = quantize::quantize_model(in, out, job);
        EXPECT_DOUBLE_EQ(model::bits_per_weight(job.recipe, source().config()),
                         report.bits_per_weight);
    }
}

TEST_F(BudgetTest, RefusesWhatCannotBe) {
    const model::ModelConfig config = source().config();
    expect_error(ErrorCode::Usage, {"`budget` is 4.1", "recipe quarot has", "nothing widened"},
                 [&] { check_budget(4.1, options().recipe, config); });
    check_budget(bits(), options().recipe, config);
    expect_error(ErrorCode::Usage, {"has none that is narrower"},
                 [&] { check_budget(9.0, named_recipe("w8a8kv8"), config); });
    expect_error(ErrorCode::Unsupported, {"keep columns apart"},
                 [&] { check_budget(9.0, named_recipe("quik-4b"), config); });
}

}  // namespace
}  // namespace quarot::search
