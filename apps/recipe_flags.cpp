// The flags that choose a recipe and change single numbers of it.
#include "apps/recipe_flags.h"

#include <algorithm>
#include <vector>

#include "apps/near_miss.h"
#include "core/error.h"
#include "core/log.h"
#include "io/text.h"

namespace quarot::apps {

namespace {

constexpr const char* kMainRecipes =
    "w4a8kv4, quarot, quarot+, best4, best4.5, quarot-rtn, quarot-64g, w8a8kv8, rtn";

Recipe chosen_recipe(const std::string& name) {
    if (name.empty()) return named_recipe(default_recipe_name());
    const std::vector<std::string> names = known_recipes();
    if (std::find(names.begin(), names.end(), name) != names.end()) {
        return named_recipe(name);
    }
    const std::string near = near_miss(name, names);
    fail(ErrorCode::Usage, "--recipe {} is unknown; {}the main ones are {}", io::printable(name),
         near.empty() ? "" : "did you mean " + near + "? ", kMainRecipes);
}

std::string recipe_help() {
    return std::string(kMainRecipes) + ", or a row of the paper's tables [" +
           default_recipe_name() + "]";
}

}  // namespace

std::string as_rotation(const Given& given) {
    Recipe any;
    set_rotation(any, given.value);
    return given.value;
}

void RecipeFlags::declare(Args& args, SettingsShown which) {
    args.add({"--recipe", "NAME", recipe_help(), [this](const Given& g) { recipe_ = g.value; },
              Shown::First})
        .likely = known_recipes();
    args.add({"--rotate", "HOW", "hadamard, random, aligned, none, r1,r2,r3,r4,heads",
              [this](const Given& g) { rotate_ = as_rotation(g); }, Shown::First})
        .likely = {"hadamard", "random", "aligned", "none"};
    add_setting_flags(args, which, changes_);
}

Recipe RecipeFlags::resolve(bool has_text) const {
    Recipe recipe = chosen_recipe(recipe_);
    if (!changes_.contains("weights.method") && !has_text && rounds_without_text(recipe.name)) {
        recipe.weights.method = "rtn";
        log_info(
            "recipe {} without --calib rounds weights to nearest, which costs 1.5 to 5 times as "
            "much in the logarithm of perplexity as GPTQ, which needs a text",
            recipe.name);
    }
    if (rotate_) set_rotation(recipe, *rotate_);
    recipe = with_changes(recipe, changes_);
    check_recipe(recipe);
    recipe.name = name_by_settings(recipe);
    return recipe;
}

std::optional<SettingChanges> RecipeFlags::run_time_changes() const {
    bool changes_weights = !recipe_.empty() || rotate_;
    for (const auto& [key, value] : changes_) {
        changes_weights = changes_weights || !recipe_setting(key).at_run_time;
    }
    if (changes_weights) return std::nullopt;
    return changes_;
}

}  // namespace quarot::apps
