// The table of settings: whole, in order, and true to the fields it names.
#include "recipe/settings.h"

#include <gtest/gtest.h>

#include <limits>
#include <set>
#include <vector>

#include "core/expect_error.h"

namespace quarot {

namespace {

// One that fits and is none of the defaults.
SettingValue another_value(const RecipeSetting& setting) {
    const SettingValue now = setting.field.get({});
    std::vector<SettingValue> candidates = {!std::holds_alternative<bool>(now) ||
                                            !std::get<bool>(now)};
    if (std::holds_alternative<int64_t>(now)) candidates = {4, 2, 32};
    if (std::holds_alternative<double>(now)) candidates = {0.3, 0.4};
    if (std::holds_alternative<std::string>(now)) {
        candidates = {"gptq", std::string(64, 'a')};
        for (const std::string_view word : setting.field.words)
            candidates.emplace_back(std::string(word));
    }
    for (const SettingValue& value : candidates) {
        if (setting.field.fits(value) && value != now) return value;
    }
    return now;
}

}  // namespace

TEST(RecipeSettings, ReadWhatTheyWrote) {
    const std::set<std::string_view> of_one_value = {"v.axis"};
    for (const RecipeSetting& setting : recipe_settings()) {
        SCOPED_TRACE(setting.key);
        if (of_one_value.contains(setting.key)) continue;
        const SettingValue value = another_value(setting);
        Recipe recipe;
        setting.field.set(recipe, value);
        EXPECT_EQ(setting.field.get(recipe), value);
        EXPECT_NE(recipe, Recipe{});
        for (const RecipeSetting& other : recipe_settings()) {
            if (other.key == setting.key) continue;
            EXPECT_EQ(other.field.get(recipe), other.field.get({})) << other.key;
        }
    }
}

TEST(RecipeSettings, HaveNamesOfTheirOwn) {
    std::set<std::string_view> keys, words;
    for (const RecipeSetting& setting : recipe_settings()) {
        EXPECT_TRUE(keys.insert(setting.key).second) << setting.key;
        for (const std::string_view word : {setting.help.word, setting.help.off}) {
            EXPECT_TRUE(word.empty() || words.insert(word).second) << word;
        }
        const bool is_switch = std::holds_alternative<bool>(setting.field.get({}));
        EXPECT_EQ(setting.help.value.empty(), is_switch || setting.help.text.empty())
            << setting.key;
        EXPECT_TRUE(setting.field.fits(setting.field.get({}))) << setting.key << " by default";
    }
}

TEST(WithChanges, ChangesWhatItNamesAndRefusesWhatDoesNotFit) {
    const Recipe recipe = with_changes({}, {{"k.bits", 3}, {"storage", "bf16"}, {"k.clip", 0.9}});
    EXPECT_EQ(recipe.k.bits, 3);
    EXPECT_EQ(recipe.k.clip, 0.9f);
    EXPECT_EQ(recipe.storage, DType::BF16);
    EXPECT_EQ(recipe.v, Recipe{}.v);
    EXPECT_TRUE(with_changes({}, {{"smoothing.alpha", 0.0}}).smoothing.enabled);
    const auto refuse = [](const std::string& key, const SettingValue& value,
                           const std::string& words) {
        expect_error(ErrorCode::Usage, {words}, [&] { with_changes({}, {{key, value}}); });
    };
    refuse("weights.bits", 9, "`weights.bits` is 9, expected 2 to 8, or 16 for not quantized");
    refuse("weights.group_size", 6, "`weights.group_size` is 6, expected a multiple of 4");
    refuse("storage", "i8", "`storage` is i8, expected one of keep, f32, f16, bf16");
    refuse("k.clip", 1e-60, "`k.clip` is 1e-60, expected a number above 0");
    refuse("weights.damp", std::numeric_limits<double>::quiet_NaN(), "`weights.damp` is nan");
    refuse("rotation.seed", int64_t{1} << 32, "expected a whole number from 0 to 4294967295");
    refuse("down_bits", 1, "or 0 for as the others");
}

TEST(PlainName, IsFitForAFileNameAndAMessage) {
    for (const char* name : {"quarot-rtn", "quarot+", "my_own.1", "a"})
        EXPECT_TRUE(is_plain_name(name));
    for (const char* name : {"", "none", "../x", "a b", "a\n"}) EXPECT_FALSE(is_plain_name(name));
    EXPECT_FALSE(is_plain_name(std::string(65, 'a')));
}

}  // namespace quarot
