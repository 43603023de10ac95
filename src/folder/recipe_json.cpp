// How a recipe stands in config.json, and what of it is believed when it comes back.
#include "folder/recipe_json.h"

#include <algorithm>
#include <limits>
#include <set>
#include <string_view>
#include <utility>

#include "core/error.h"
#include "core/setting.h"
#include "io/text.h"
#include "recipe/settings.h"

namespace quarot::folder {

namespace {

constexpr int64_t kFormatVersion = 4;
constexpr std::string_view kHeadMix = "rotation.head_mix";

io::Json to_json(const SettingValue& value) {
    return std::visit([](const auto& v) { return io::Json(v); }, value);
}

// Of the type that `like` has.
SettingValue value_of(const io::Json& json, const SettingValue& like) {
    if (std::holds_alternative<bool>(like)) return json.as_bool();
    if (std::holds_alternative<int64_t>(like)) return json.as_int();
    if (std::holds_alternative<double>(like)) return json.as_double();
    return json.as_string();
}

SettingValue read_value(const io::Json& json, const SettingField& field) {
    const SettingValue value = value_of(json, field.get({}));
    if (field.fits(value)) return value;
    const std::string found =
        json.is_string() ? fmt::format("\"{}\"", io::printable(json.as_string())) : json.dump(-1);
    fail(ErrorCode::Corrupt, "{} is {}, expected {}", json.place(), found, field.expected());
}

std::string read_name(const io::Json& json) {
    if (is_plain_name(json.as_string())) return json.as_string();
    fail(ErrorCode::Corrupt, "{} is \"{}\", expected the name of a recipe", json.place(),
         io::printable(json.as_string()));
}

// "weights" and "bits" of "weights.bits"; nothing and the whole of "tp_max".
std::pair<std::string, std::string> section_and_name(std::string_view key) {
    const size_t dot = key.find('.');
    if (dot == key.npos) return {"", std::string(key)};
    return {std::string(key.substr(0, dot)), std::string(key.substr(dot + 1))};
}

// Does it decide how activations or V are quantized while a folder runs, where programs of version
// 3 would pass over it?
bool is_of_version_4(const RecipeSetting& setting, const Recipe& recipe) {
    const bool runs = setting.key.starts_with("activations.") || setting.key.starts_with("v.");
    return runs && setting.optional && setting.field.get(recipe) != setting.field.get({});
}

// The first version that has a word for all of it: version 2 knew the head mix and R2 as one, and
// no R1 from a file or from a text.
int64_t version_of(const Recipe& recipe) {
    const auto settings = recipe_settings();
    if (std::any_of(settings.begin(), settings.end(), [&](const RecipeSetting& setting) {
            return is_of_version_4(setting, recipe);
        })) {
        return 4;
    }
    const RotationSpec& rotation = recipe.rotation;
    const bool is_of_version_2 = rotation.head_mix == rotation.value_heads &&
                                 rotation.residual != ResidualRotation::File &&
                                 rotation.residual != ResidualRotation::Aligned;
    return is_of_version_2 ? 2 : 3;
}

// Does a folder with this recipe say what the setting is?
bool is_stored(const RecipeSetting& setting, const Recipe& recipe) {
    const std::string_view key = setting.key;
    if (setting.optional) return setting.field.get(recipe) != setting.field.get({});
    if (key.starts_with("smoothing.")) return recipe.smoothing.enabled;
    if (key == kHeadMix) return version_of(recipe) >= 3;
    if (!key.starts_with("outliers.")) return true;
    return recipe.outliers.enabled() && (key != "outliers.by_hidden" || recipe.outliers.by_hidden);
}

// Neither smoothing, outliers nor optional settings need be there; nor, in versions 1 and 2, what
// they had no word for.
bool is_absent(const io::Json& json, const RecipeSetting& setting) {
    const std::string_view key = setting.key;
    const std::set<std::string_view> of_version_2 = {"embedding_bits", "tied_rotation", "tp_max",
                                                     "k_bias"};
    const auto [section, name] = section_and_name(key);
    if (setting.optional) {
        const io::Json& object = section.empty() ? json : json.at(section);
        return object.find(name) == nullptr;
    }
    if (section == "smoothing" || section == "outliers") {
        const io::Json* found = json.find(section);
        return found == nullptr || (name == "by_hidden" && found->find(name) == nullptr);
    }
    const int64_t version = json.at("format_version").as_int();
    return (version < 2 && of_version_2.contains(key)) || (version < 3 && key == kHeadMix);
}

void check_version(const io::Json& json) {
    const int64_t version =
        json.at("format_version").as_int(1, std::numeric_limits<int64_t>::max());
    if (version <= kFormatVersion) return;
    fail(ErrorCode::Unsupported, "{} is {}, and this version reads up to {}; update the program",
         json.at("format_version").place(), version, kFormatVersion);
}

// Settings that no recipe may combine, in the words of files: their keys.
void check_combinations(const Recipe& recipe, const io::Json& json) {
    try {
        check_recipe(recipe);
    } catch (const Error& error) {
        const ErrorCode code = error.code() == ErrorCode::Usage ? ErrorCode::Corrupt : error.code();
        fail(code, "{}: {}", json.place(),
             respelled(error.what(), [](std::string_view key) { return std::string(key); }));
    }
}

}  // namespace

io::Json to_json(const Recipe& recipe) {
    io::Json json = io::Json::Object{{"quant_method", "quarot"},
                                     {"format_version", version_of(recipe)},
                                     {"recipe", recipe.name}};
    for (const RecipeSetting& setting : recipe_settings()) {
        if (!is_stored(setting, recipe)) continue;
        const auto [section, name] = section_and_name(setting.key);
        if (section.empty()) {
            json.set(name, to_json(setting.field.get(recipe)));
            continue;
        }
        io::Json::Object& members = json.as_object();
        if (members.back().first != section) members.emplace_back(section, io::Json::Object{});
        members.back().second.set(name, to_json(setting.field.get(recipe)));
    }
    return json;
}

std::vector<ChangedSetting> changed_settings(const Recipe& named, const Recipe& recipe) {
    Recipe other = recipe;
    other.name = named.name;
    other.rotation.seed = named.rotation.seed;
    const CalibrationActivations activations = recipe.calibration.activations;
    other.calibration = named.calibration;
    other.calibration.activations = activations;
    std::vector<ChangedSetting> changes;
    for (const RecipeSetting& setting : recipe_settings()) {
        const SettingValue value = setting.field.get(other);
        if (value == setting.field.get(named)) continue;
        changes.push_back({std::string(setting.key), to_json(value).dump(-1)});
    }
    return changes;
}

std::string nearest_name(const Recipe& recipe) {
    std::string nearest;
    size_t fewest = std::numeric_limits<size_t>::max();
    for (const std::string& name : known_recipes()) {
        const size_t n = changed_settings(named_recipe(name), recipe).size();
        if (n >= fewest) continue;
        nearest = name;
        fewest = n;
    }
    return nearest;
}

Recipe recipe_from_json(const io::Json& json) {
    check_version(json);
    Recipe recipe;
    recipe.name = read_name(json.at("recipe"));
    recipe.k_bias = KeyBiasUse::Keep;  // what version 1 did
    for (const RecipeSetting& setting : recipe_settings()) {
        if (is_absent(json, setting)) continue;
        const auto [section, name] = section_and_name(setting.key);
        const io::Json& object = section.empty() ? json : json.at(section);
        setting.field.set(recipe, read_value(object.at(name), setting.field));
    }
    if (is_absent(json, recipe_setting(kHeadMix)))
        recipe.rotation.head_mix = recipe.rotation.value_heads;
    check_combinations(recipe, json);
    return recipe;
}

}  // namespace quarot::folder
