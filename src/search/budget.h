// Where a few more bits pay most: the widths of a recipe's places for so many bits a value.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "folder/source_model.h"
#include "io/json.h"
#include "quantize/options.h"
#include "search/held_out.h"
#include "search/places.h"

namespace quarot::search {

// What a place gives and takes when it becomes wider, measured with all others at full precision.
struct PlaceChoice {
    Place place = Place::Weights;
    int bits = 16;                  // of the recipe
    int wide_bits = 16;             // that it may have instead
    double kl = 0.0;                // on the windows held out, nats
    std::optional<double> wide_kl;  // empty: of weights, which count as lossless in 8 bits
    double extra_bits = 0.0;        // of mean_bits
    bool is_widened = false;

    double gain_per_bit() const { return (kl - wide_kl.value_or(0.0)) / extra_bits; }
};

struct BudgetPlan {
    double budget = 0.0;
    double recipe_bits = 0.0;  // mean_bits of the recipe as it was
    double bits = 0.0;         // of the plan
    std::vector<PlaceChoice> places;
    Recipe recipe;

    // The sum over places at the widths that were chosen: what the whole loses, if losses add up.
    double expected_kl() const;
};

// Their indices by falling gain a bit, equal ones in their order.
std::vector<size_t> by_gain(std::span<const PlaceChoice> places);

// Widens places by falling gain a bit, each that gains and still fits. Sets is_widened.
void choose(std::vector<PlaceChoice>& places, double extra_bits);

// Those of the recipe that are narrower than 8 bits, nothing measured yet.
std::vector<PlaceChoice> places_of(const Recipe& recipe, const model::ModelConfig& config);

// Error{Usage} for a budget that the recipe exceeds already, for a recipe without places to widen
// or with groups that do not fit; Error{Unsupported} for one whose columns are kept apart or
// smoothed.
void check_budget(double budget, const Recipe& recipe, const model::ModelConfig& config);

// Measures each place and chooses. options: of the job that will follow, its recipe the one to
// widen; the weights of a place are quantized as it says, with its calibration. What is made for
// that stands beside `out` for a while. Errors of check_budget and of quantize_model.
BudgetPlan plan_budget(double budget, const folder::SourceModel& source,
                       const quantize::QuantizeOptions& options, HeldOutText text,
                       const std::string& out);

io::Json to_json(const BudgetPlan& plan);

}  // namespace quarot::search
