// Does each place have the width that it is given, and no other?
#include "search/places.h"

#include <gtest/gtest.h>

#include "model/bits_per_value.h"
#include "model/small_config_for_tests.h"

namespace quarot::search {
namespace {

TEST(WithWidths, GivesEachPlaceItsOwn) {
    for (const char* name : {"quarot", "quarot+", "quarot-down8", "best4"}) {
        const Recipe recipe = named_recipe(name);
        for (const Place place : kPlaces) {
            SCOPED_TRACE(fmt::format("{} {}", name, name_of(place)));
            Widths widths = widths_of(recipe);
            EXPECT_EQ(with_widths(recipe, widths), recipe);
            at(widths, place) = 6;
            EXPECT_EQ(widths_of(with_widths(recipe, widths)), widths);
        }
    }
}

TEST(WithWidths, ClipsNoCacheThatItWidens) {
    const Recipe recipe = named_recipe("quarot");
    Widths widths = widths_of(recipe);
    at(widths, Place::K) = 8;
    const Recipe wider = with_widths(recipe, widths);
    EXPECT_EQ(wider.k.clip, 1.0f);
    EXPECT_EQ(wider.v.clip, 0.95f);
}

TEST(WithWidths, LeavesActivationsThatNothingQuantizes) {
    const Recipe recipe = named_recipe("quarot-w4a16");
    Widths widths = widths_of(recipe);
    EXPECT_EQ(at(widths, Place::DownIn), 16);
    at(widths, Place::DownIn) = 8;
    EXPECT_EQ(with_widths(recipe, widths), recipe);
}

TEST(MeanBits, CountWeightsActivationsAndCacheAlike) {
    const Recipe recipe = named_recipe("quarot");
    const model::ModelConfig config = model::small_config();
    const double before = mean_bits(recipe, config);
    EXPECT_DOUBLE_EQ(
        before, (model::bits_per_weight(recipe, config) +
                 model::bits_per_activation(recipe, config) + model::bits_per_kv(recipe, config)) /
                    3.0);
    const auto added = [&](Place place) {
        Widths widths = widths_of(recipe);
        at(widths, place) = 8;
        return mean_bits(with_widths(recipe, widths), config) - before;
    };
    EXPECT_NEAR(added(Place::K), 4.0 / 2 / 3, 1e-12);
    EXPECT_NEAR(added(Place::DownIn), 4.0 * 192 / (3 * 96 + 192) / 3, 1e-12);
    // q and o 96 x 96, k and v 96 x 48, gate and up 192 x 96, down 96 x 192.
    const double down = 96 * 192, others = 2 * 96 * 96 + 2 * 96 * 48 + 2 * 192 * 96;
    EXPECT_NEAR(added(Place::DownWeights), 4.0 * down / (down + others) / 3, 1e-12);
    EXPECT_NEAR(added(Place::Weights), 4.0 * others / (down + others) / 3, 1e-12);
}

}  // namespace
}  // namespace quarot::search
