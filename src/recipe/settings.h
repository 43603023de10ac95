// The settings of a recipe as a table. Checks, JSON and flags are loops over it, so that a new
// setting is a field of Recipe and a row.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "recipe/recipe.h"

namespace quarot {

// A switch, a whole number, a ratio, or a word for what has names.
using SettingValue = std::variant<bool, int64_t, double, std::string>;
std::string to_string(const SettingValue& value);

// Where a recipe has a setting, and what it may be. Values are of the type that get() gives.
struct SettingField {
    SettingValue (*get)(const Recipe&);
    void (*set)(Recipe&, const SettingValue&);  // to a value that fits
    bool (*fits)(const SettingValue&);
    std::string (*expected)();                     // of what does not fit: "2 to 8, or 16 for ..."
    std::span<const std::string_view> words = {};  // all that fit, where they have names
};

// How a person changes a setting.
struct SettingHelp {
    std::string_view word = {};   // as in a file of settings: "w-bits"; of a switch: turns it on
    std::string_view off = {};    // of a switch: turns it off
    std::string_view value = {};  // what stands for the value: "N"; empty: a switch
    std::string_view text = {};   // ends with "[the default]" where there is one
    bool main = false;            // shown first
};

struct RecipeSetting {
    std::string_view key;  // in quantization_config: "weights.bits"
    SettingField field;
    SettingHelp help = {};     // empty: named recipes alone decide
    bool at_run_time = false;  // a folder may run with another value than it was made with
    bool optional = false;     // in quantization_config only where it is not the default
};

// In the order of quantization_config; settings of one object are neighbours.
std::span<const RecipeSetting> recipe_settings();
const RecipeSetting& recipe_setting(std::string_view key);  // one that there is

// Values by key.
using SettingChanges = std::map<std::string, SettingValue, std::less<>>;
// The recipe with these values; Error{Usage} naming the first setting whose value does not fit.
Recipe with_changes(Recipe recipe, const SettingChanges& changes);

// All that a folder may run with, as this recipe has it.
SettingChanges run_time_values(const Recipe& recipe);

// Error{Usage} naming the first setting whose value does not fit.
void check_ranges(const Recipe& recipe);

// Letters, digits, '-', '_', '.' and '+': fit for a message and a file name. "none" is no name.
bool is_plain_name(std::string_view name);

}  // namespace quarot
