// The places of a model that have a width of their own, the same in all layers, and what a value
// costs there.
#pragma once

#include <array>
#include <string_view>

#include "model/config.h"
#include "recipe/recipe.h"

namespace quarot::search {

// Weights: of all linears of the layers but down_proj. Inputs: of what linears read.
enum class Place { Weights, DownWeights, AttnIn, OIn, MlpIn, DownIn, K, V };
inline constexpr std::array kPlaces = {
    Place::Weights, Place::DownWeights, Place::AttnIn, Place::OIn,
    Place::MlpIn,   Place::DownIn,      Place::K,      Place::V};
std::string_view name_of(Place place);     // "attn_in"
std::string_view setting_of(Place place);  // its key in quantization_config

// Bits by place.
using Widths = std::array<int, kPlaces.size()>;
constexpr int& at(Widths& widths, Place place) {
    return widths[static_cast<size_t>(place)];
}
constexpr int at(const Widths& widths, Place place) {
    return widths[static_cast<size_t>(place)];
}

Widths widths_of(const Recipe& recipe);
// The recipe with these; K and V that become wider are not clipped, which pays at 4 bits alone.
// Activations that the recipe does not quantize stay so.
Recipe with_widths(const Recipe& recipe, const Widths& widths);

// As recipes are named, W4A4KV4: weights, activations and cache count alike, and in each its mean
// over values: over the weights of the layers, over the inputs of a layer, over K and V. Scales and
// zero points are counted.
double mean_bits(const Recipe& recipe, const model::ModelConfig& config);

}  // namespace quarot::search
