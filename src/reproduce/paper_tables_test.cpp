#include "reproduce/paper_tables.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "core/error.h"
#include "quantize/quantize_model.h"
#include "reproduce/bits_per_value.h"
#include "reproduce/row_plan.h"

namespace quarot::reproduce {
namespace {

model::ModelConfig small_config() {
    model::ModelConfig config;
    config.hidden = 96;
    config.ffn = 192;
    config.n_heads = 2;
    config.n_kv_heads = 1;
    config.head_dim = 48;
    config.n_layers = 1;
    return config;
}

const PlannedRow& find(const std::vector<PlannedRow>& rows, std::string_view name) {
    for (const PlannedRow& row : rows) {
        if (row.paper.row == name) return row;
    }
    ADD_FAILURE() << "no row " << name;
    return rows.front();
}

TEST(PaperTables, HaveEveryRowOfThePaperOnce) {
    const std::map<int, int> expected = {{1, 10}, {3, 3}, {4, 4}, {5, 8}, {6, 10},
                                         {7, 13}, {8, 2}, {9, 7}, {10, 3}};
    std::map<int, int> found;
    std::set<std::pair<int, std::string_view>> names;
    for (const PaperRow& row : paper_rows()) {
        ++found[row.table];
        EXPECT_TRUE(names.insert({row.table, row.row}).second) << row.table << " " << row.row;
        EXPECT_TRUE(row.paper || !row.note.empty()) << "a missing number is explained: " << row.row;
    }
    EXPECT_EQ(found, expected);
}

TEST(PaperTables, GiveOneRecipeOneNumberWhereverItStands) {
    std::map<std::string_view, double> numbers;
    for (const PaperRow& row : paper_rows()) {
        if (!row.paper) continue;
        const auto [known, is_new] = numbers.insert({row.recipe, *row.paper});
        EXPECT_TRUE(is_new || known->second == *row.paper) << row.recipe;
    }
}

TEST(PaperTables, NameRecipesThatExist) {
    for (const PaperRow& row : paper_rows()) {
        if (row.refused || row.recipe == "none") continue;
        EXPECT_NO_THROW(named_recipe(std::string(row.recipe))) << row.row;
    }
}

TEST(RowPlan, TakesTheTablesAskedForInThePapersOrder) {
    const auto rows = plan_rows({.tables = {9, 3}}, small_config());
    ASSERT_EQ(rows.size(), 10u);
    EXPECT_EQ(rows.front().paper.table, 3);
    EXPECT_EQ(rows.back().paper.table, 9);
    EXPECT_EQ(plan_rows({}, small_config()).size(), paper_rows().size());
}

TEST(RowPlan, RefusesATableThePaperHasNoPerplexitiesIn) {
    try {
        plan_rows({.tables = {1, 2}}, small_config());
        FAIL() << "nothing was thrown";
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::Usage);
        EXPECT_NE(std::string(error.what()).find("names 2"), std::string::npos) << error.what();
    }
}

TEST(RowPlan, SaysWhyARowIsNotAvailable) {
    const auto rows = plan_rows({.tables = {1, 4}}, small_config());
    EXPECT_FALSE(find(rows, "OmniQuant").recipe);
    EXPECT_NE(find(rows, "OmniQuant").reason.find("gradients"), std::string::npos);
    const PlannedRow& grouped = find(rows, "64G");
    EXPECT_FALSE(grouped.recipe);
    EXPECT_NE(grouped.reason.find("64, which does not divide the 96"), std::string::npos)
        << grouped.reason;
}

TEST(RowPlan, GivesRecipesTheSeedAndCalibrationOfTheRun) {
    CalibrationSpec calibration;
    calibration.n_samples = 5;
    const auto rows =
        plan_rows({.tables = {3}, .seed = 7, .calibration = calibration}, small_config());
    const PlannedRow& row = find(rows, "QuaRot-RTN INT4");
    ASSERT_TRUE(row.recipe);
    EXPECT_EQ(row.recipe->rotation.seed, 7u);
    EXPECT_EQ(row.recipe->calibration.n_samples, 5);
    EXPECT_EQ(row.recipe->storage, DType::F32);
    EXPECT_FALSE(quantize::needs_calibration(*row.recipe));
}

TEST(BitsPerValue, CountScalesAndZeroPoints) {
    Recipe recipe = named_recipe("quarot-rtn");
    const model::ModelConfig config = small_config();
    // Inputs of 96, 96, 96 and 192 values, each with one scale of 32 bits.
    EXPECT_DOUBLE_EQ(bits_per_activation(recipe, config), 4.0 + 4 * 32.0 / 480);
    recipe.activations.group_size = 32;
    EXPECT_DOUBLE_EQ(bits_per_activation(recipe, config), 5.0);
    recipe.activations.symmetric = false;
    EXPECT_DOUBLE_EQ(bits_per_activation(recipe, config), 6.0);
    // A scale of 32 and a zero point of 16 bits for 48 values.
    EXPECT_DOUBLE_EQ(bits_per_kv(recipe, config), 5.0);
    recipe.k.bits = 16;
    EXPECT_DOUBLE_EQ(bits_per_kv(recipe, config), 10.5);
    EXPECT_DOUBLE_EQ(bits_per_activation(full_precision_recipe(), config), 16.0);
    // 6 of 96 columns keep 16 bits, twice as many of 192; the others have a scale and a zero point.
    const double narrow = 90 * 4 + 64 + 6 * 16, wide = 180 * 8 + 64 + 12 * 16;
    EXPECT_DOUBLE_EQ(bits_per_activation(named_recipe("quik-4b"), config),
                     (3 * narrow + wide) / 480);
}

}  // namespace
}  // namespace quarot::reproduce
