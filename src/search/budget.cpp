#include "search/budget.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "core/error.h"
#include "core/log.h"
#include "core/progress.h"
#include "core/setting.h"
#include "model/bits_per_value.h"
#include "model/role_formats.h"
#include "search/trial.h"

namespace quarot::search {

namespace {

constexpr int kWideBits = 8;
constexpr Setting kBudget{"budget"};

bool is_of_weights(Place place) {
    return place == Place::Weights || place == Place::DownWeights;
}

Widths full_precision() {
    Widths widths{};
    widths.fill(16);
    return widths;
}

// With nothing beside the places quantized, nor rounded on the way, nor searched.
Recipe for_measuring(Recipe recipe) {
    recipe.head_bits = recipe.embedding_bits = 16;
    recipe.storage = DType::F32;
    recipe.clip_search = false;
    return recipe;
}

// All others at full precision.
Recipe alone(const Recipe& recipe, Place place, int bits) {
    Widths widths = full_precision();
    at(widths, place) = bits;
    return for_measuring(with_widths(recipe, widths));
}

// Rotated weights, so that activations and cache can be measured as a run may change them.
Recipe rotated_only(const Recipe& recipe) {
    Recipe rotated = for_measuring(with_widths(recipe, full_precision()));
    rotated.weights = {.group_size = recipe.weights.group_size};
    return rotated;
}

class Measuring {
  public:
    Measuring(const folder::SourceModel& source, const quantize::QuantizeOptions& options,
              HeldOutText text, const std::string& out)
        : recipe_(options.recipe), trial_(source, options, std::move(text), out) {}

    void measure(PlaceChoice& choice) {
        choice.kl = kl_of(choice.place, choice.bits);
        if (!is_of_weights(choice.place)) choice.wide_kl = kl_of(choice.place, choice.wide_bits);
        log_info("{} in {} bits alone: KL {:.5f} on the windows held out", name_of(choice.place),
                 choice.bits, choice.kl);
    }

  private:
    double kl_of(Place place, int bits) {
        const Recipe recipe = alone(recipe_, place, bits);
        const ProgressScope scope(fmt::format("{} in {} bits", name_of(place), bits));
        if (is_of_weights(place)) {
            return trial_.kl_of(trial_.made(recipe, "weights"), {});
        }
        if (rotated_.empty()) rotated_ = trial_.made(rotated_only(recipe_), "rotated");
        return trial_.kl_of(rotated_, run_time_values(recipe));
    }

    const Recipe& recipe_;
    FolderTrial trial_;
    std::string rotated_;  // folder
};

}  // namespace

double BudgetPlan::expected_kl() const {
    double sum = 0.0;
    for (const PlaceChoice& choice : places) {
        sum += choice.is_widened ? choice.wide_kl.value_or(0.0) : choice.kl;
    }
    return sum;
}

std::vector<size_t> by_gain(std::span<const PlaceChoice> places) {
    std::vector<size_t> order(places.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
        const double first = places[a].gain_per_bit(), second = places[b].gain_per_bit();
        return first != second ? first > second : a < b;
    });
    return order;
}

void choose(std::vector<PlaceChoice>& places, double extra_bits) {
    constexpr double kRounding = 1e-9;  // of sums of bits
    for (const size_t index : by_gain(places)) {
        PlaceChoice& choice = places[index];
        choice.is_widened =
            choice.gain_per_bit() > 0.0 && choice.extra_bits <= extra_bits + kRounding;
        if (choice.is_widened) extra_bits -= choice.extra_bits;
    }
}

std::vector<PlaceChoice> places_of(const Recipe& recipe, const model::ModelConfig& config) {
    const Widths widths = widths_of(recipe);
    const double before = mean_bits(recipe, config);
    std::vector<PlaceChoice> places;
    for (const Place place : kPlaces) {
        if (at(widths, place) >= kWideBits) continue;
        Widths wider = widths;
        at(wider, place) = kWideBits;
        places.push_back({.place = place,
                          .bits = at(widths, place),
                          .wide_bits = kWideBits,
                          .extra_bits = mean_bits(with_widths(recipe, wider), config) - before});
    }
    return places;
}

void check_budget(double budget, const Recipe& recipe, const model::ModelConfig& config) {
    if (recipe.outliers.enabled() || recipe.smoothing.enabled) {
        fail(ErrorCode::Unsupported,
             "{} places bits in recipes that neither keep columns apart nor smooth, and {} does",
             kBudget, recipe.name);
    }
    model::check_groups(recipe, config);
    if (places_of(recipe, config).empty()) {
        fail(ErrorCode::Usage,
             "{} makes places of {} bits, and recipe {} has none that is narrower", kBudget,
             kWideBits, recipe.name);
    }
    const double bits = mean_bits(recipe, config);
    if (bits <= budget) return;
    fail(ErrorCode::Usage,
         "{} is {} bits a value, and recipe {} has {:.3f} on this model with nothing widened: "
         "weights {:.3f}, activations {:.3f}, K {:.3f}, V {:.3f}, scales counted; give more or "
         "choose a narrower recipe",
         kBudget, budget, recipe.name, bits, model::bits_per_weight(recipe, config),
         model::bits_per_activation(recipe, config), model::bits_per_k(recipe, config),
         model::bits_per_v(recipe, config));
}

BudgetPlan plan_budget(double budget, const folder::SourceModel& source,
                       const quantize::QuantizeOptions& options, HeldOutText text,
                       const std::string& out) {
    const Recipe& recipe = options.recipe;
    const model::ModelConfig& config = source.config();
    check_budget(budget, recipe, config);
    BudgetPlan plan{.budget = budget,
                    .recipe_bits = mean_bits(recipe, config),
                    .places = places_of(recipe, config)};
    Measuring measuring(source, options, std::move(text), out);
    for (PlaceChoice& choice : plan.places) measuring.measure(choice);
    choose(plan.places, budget - plan.recipe_bits);
    Widths widths = widths_of(recipe);
    for (const PlaceChoice& choice : plan.places) {
        if (choice.is_widened) at(widths, choice.place) = choice.wide_bits;
    }
    plan.recipe = with_widths(recipe, widths);
    check_recipe(plan.recipe);
    plan.recipe.name = name_by_settings(plan.recipe);
    plan.bits = mean_bits(plan.recipe, config);
    return plan;
}

io::Json to_json(const BudgetPlan& plan) {
    io::Json::Array places;
    for (const PlaceChoice& choice : plan.places) {
        places.emplace_back(
            io::Json::Object{{"place", std::string(name_of(choice.place))},
                             {"setting", std::string(setting_of(choice.place))},
                             {"bits", choice.bits},
                             {"wide_bits", choice.wide_bits},
                             {"kl", choice.kl},
                             {"wide_kl", choice.wide_kl ? io::Json(*choice.wide_kl) : io::Json()},
                             {"extra_bits", choice.extra_bits},
                             {"kl_per_bit", choice.gain_per_bit()},
                             {"chosen", choice.is_widened ? choice.wide_bits : choice.bits}});
    }
    return io::Json::Object{{"budget", plan.budget},
                            {"recipe_bits", plan.recipe_bits},
                            {"bits", plan.bits},
                            {"expected_kl", plan.expected_kl()},
                            {"places", std::move(places)}};
}

}  // namespace quarot::search
