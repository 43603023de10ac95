// The recipes there are by name: the paper's rows, and what they are compared with.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/error.h"
#include "core/setting.h"
#include "recipe/ladder.h"
#include "recipe/recipe.h"

namespace quarot {

namespace {

// The paper's, for 4 bits; at 8 bits clipping costs more than it gives (docs/decisions.md).
constexpr float kActivationClip = 0.9f;
constexpr float kKvClip = 0.95f;
constexpr float kSixBitClip = 0.95f;  // of activations

constexpr const char* kRoundsWithoutText = "w4a8kv4";

// What quantizes activations and cache; with 16 bits it only says how run-time flags would.
void set_activations(Recipe& recipe, int activation_bits, int kv_bits) {
    recipe.activations.bits = activation_bits;
    recipe.activations.clip = kActivationClip;
    recipe.k.bits = kv_bits;
    recipe.k.clip = kKvClip;
    recipe.v = recipe.k;
    recipe.v.range_includes_zero = false;
}

// The paper's main recipe.
Recipe quarot(int weight_bits, int activation_bits, int kv_bits) {
    Recipe recipe;
    recipe.rotation = {.residual = ResidualRotation::Hadamard,
                       .value_heads = true,
                       .head_mix = true,
                       .query_key = true,
                       .ffn = true,
                       .fold_norms = true};
    recipe.weights.method = "gptq";
    recipe.weights.bits = weight_bits;
    set_activations(recipe, activation_bits, kv_bits);
    return recipe;
}

Recipe with_rtn(Recipe recipe) {
    recipe.weights.method = "rtn";
    return recipe;
}

// The same quantizers with nothing rotated.
Recipe unrotated(Recipe recipe) {
    recipe.rotation = {};
    return recipe;
}

// One group size for weights and activations, as in the paper.
Recipe grouped(int64_t size) {
    Recipe recipe = quarot(4, 4, 4);
    recipe.weights.group_size = size;
    recipe.activations.group_size = size;
    return recipe;
}

Recipe weight_only(int bits) {
    Recipe recipe = quarot(bits, 16, 16);
    recipe.weights.symmetric = false;
    return recipe;
}

Recipe with_clips(Recipe recipe, float activation_clip, float kv_clip) {
    recipe.activations.clip = activation_clip;
    recipe.k.clip = kv_clip;
    recipe.v.clip = kv_clip;
    return recipe;
}

// Embedding and head of 8 bits; one matrix where the model has one.
Recipe with_small_ends(Recipe recipe) {
    recipe.head_bits = recipe.embedding_bits = 8;
    recipe.tied_rotation = true;
    return recipe;
}

Recipe random_rotation() {
    Recipe recipe = quarot(4, 4, 4);
    recipe.rotation.residual = ResidualRotation::Random;
    return recipe;
}

Recipe half_precision_hadamard() {
    Recipe recipe = quarot(4, 4, 4);
    recipe.rotation.online_dtype = DType::F16;
    return recipe;
}

Recipe eight_bit_down() {
    Recipe recipe = quarot(4, 4, 4);
    recipe.down_bits = 8;
    return recipe;
}

// Table 1.
Recipe smoothed() {
    Recipe recipe = unrotated(with_rtn(quarot(4, 4, 4)));
    recipe.smoothing.enabled = true;
    return recipe;
}

// As its authors' program: 256 of 4096 columns in floating point and 512 of 11008, activations
// with a zero point and unclipped, 8 bits in down_proj.
Recipe quik() {
    Recipe recipe = unrotated(quarot(4, 4, 4));
    recipe.activations.symmetric = false;
    recipe.activations.clip = 1.0f;
    recipe.down_bits = 8;
    recipe.outliers = {.share = 1.0 / 16.0,
                       .by_hidden = true,
                       .bits = 16,
                       .sorted = false,
                       .measure = OutlierMeasure::Maximum};
    return recipe;
}

// 128 of 4096 columns in 8 bits.
Recipe atom(int64_t group_size) {
    Recipe recipe = unrotated(grouped(group_size));
    recipe.outliers = {
        .share = 1.0 / 32.0, .bits = 8, .sorted = true, .measure = OutlierMeasure::Energy};
    return recipe;
}

using Recipes = std::vector<std::pair<std::string, Recipe>>;

// Beyond the paper.
void add_best(Recipes& list) {
    list.emplace_back("quarot+", after(quarot(4, 4, 4), hadamard_ladder()));
    list.emplace_back("best4", after(quarot(4, 4, 4), ungrouped_ladder()));
    list.emplace_back("best4.5", after(quarot(4, 4, 4), grouped_ladder()));
}

void add_main(Recipes& list) {
    list.insert(list.end(),
                {{"quarot", quarot(4, 4, 4)},
                 {"quarot-rtn", with_rtn(quarot(4, 4, 4))},
                 {"quarot-256g", grouped(256)},
                 {"quarot-128g", grouped(128)},
                 {"quarot-64g", grouped(64)},
                 {kRoundsWithoutText, with_small_ends(with_clips(quarot(4, 8, 4), 1.0f, kKvClip))},
                 {"w6a6kv6", with_clips(with_rtn(quarot(6, 6, 6)), kSixBitClip, kKvClip)},
                 {"w8a8kv8", with_clips(with_rtn(quarot(8, 8, 8)), 1.0f, 1.0f)},
                 {"rtn", unrotated(with_rtn(quarot(4, 4, 4)))},
                 {"smoothquant", smoothed()},
                 {"quik-4b", quik()},
                 {"atom-128g", atom(128)},
                 {"atom-64g", atom(64)},
                 {"quarot-rtn-w6a6kv6", with_rtn(quarot(6, 6, 6))},
                 {"quarot-rtn-w8a8kv8", with_rtn(quarot(8, 8, 8))},
                 {"quarot-w6a6kv6", quarot(6, 6, 6)},
                 {"quarot-w8a8kv8", quarot(8, 8, 8)},
                 {"quarot-random", random_rotation()},
                 {"quarot-fp16-hadamard", half_precision_hadamard()},
                 {"quarot-down8", eight_bit_down()}});
}

// Table 7.
void add_weight_only(Recipes& list) {
    for (const int bits : {4, 3, 2}) {
        const Recipe recipe = weight_only(bits);
        const std::string name = fmt::format("w{}a16", bits);
        list.emplace_back(name + "-rtn", unrotated(with_rtn(recipe)));
        list.emplace_back(name + "-gptq", unrotated(recipe));
        list.emplace_back("quarot-" + name + "-rtn", with_rtn(recipe));
        list.emplace_back("quarot-" + name, recipe);
    }
}

// Tables 5 and 6: activations or cache alone, weights as they are.
void add_activations_only(Recipes& list) {
    for (const int percent : {100, 95, 90, 85}) {
        const float clip = static_cast<float>(percent) / 100.0f;
        list.emplace_back(fmt::format("a4-clip{}", percent),
                          with_clips(with_rtn(quarot(16, 4, 16)), clip, kKvClip));
        list.emplace_back(fmt::format("kv4-clip{}", percent),
                          with_clips(with_rtn(quarot(16, 16, 4)), kActivationClip, clip));
    }
    for (const int k_bits : {4, 3, 2}) {
        for (const int v_bits : {4, 3, 2}) {
            Recipe recipe = with_rtn(quarot(16, 16, k_bits));
            recipe.v.bits = v_bits;
            list.emplace_back(fmt::format("k{}v{}", k_bits, v_bits), recipe);
        }
    }
}

const Recipes& recipes() {
    static const Recipes kList = [] {
        Recipes list;
        add_main(list);
        add_best(list);
        add_weight_only(list);
        add_activations_only(list);
        for (auto& [name, recipe] : list) recipe.name = name;
        return list;
    }();
    return kList;
}

// Does nothing but the seed, the stored dtype and the calibration text's cut differ?
bool has_settings_of(const std::string& name, Recipe recipe) {
    Recipe named = named_recipe(name);
    const CalibrationActivations activations = named.calibration.activations;
    named.rotation.seed = recipe.rotation.seed;
    named.storage = recipe.storage;
    named.calibration = recipe.calibration;
    named.calibration.activations = activations;
    if (rounds_without_text(name) && recipe.weights.method == "rtn") named.weights.method = "rtn";
    recipe.name = name;
    return named == recipe;
}

}  // namespace

Recipe full_precision_recipe() {
    Recipe recipe;
    set_activations(recipe, 16, 16);
    return recipe;
}

std::string default_recipe_name() {
    return "quarot";
}

std::vector<std::string> known_recipes() {
    std::vector<std::string> names;
    for (const auto& [name, recipe] : recipes()) names.push_back(name);
    return names;
}

Recipe named_recipe(const std::string& name) {
    std::string list;
    for (const auto& [known, recipe] : recipes()) {
        if (known == name) return recipe;
        list += (list.empty() ? "" : ", ") + known;
    }
    fail(ErrorCode::Usage, "{} {} is unknown, expected one of {}", Setting{"recipe"}, name, list);
}

bool rounds_without_text(const std::string& name) {
    return name == kRoundsWithoutText;
}

std::string name_by_settings(const Recipe& recipe) {
    const bool is_named = std::any_of(recipes().begin(), recipes().end(), [&](const auto& known) {
        return known.first == recipe.name;
    });
    if (is_named && has_settings_of(recipe.name, recipe)) return recipe.name;
    for (const auto& [name, known] : recipes()) {
        if (has_settings_of(name, recipe)) return name;
    }
    return "custom";
}

}  // namespace quarot
