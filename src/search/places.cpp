#include "search/places.h"

#include "model/bits_per_value.h"
#include "model/role_formats.h"

namespace quarot::search {

namespace {

using model::LinearRole;

struct PlaceName {
    std::string_view name, setting;
};

// In the order of kPlaces.
constexpr std::array<PlaceName, kPlaces.size()> kNames = {{
    {"weights", "weights.bits"},
    {"down_proj", "down_bits"},
    {"attn_in", "activations.attn_in_bits"},
    {"o_in", "activations.o_in_bits"},
    {"mlp_in", "activations.mlp_in_bits"},
    {"down_in", "activations.down_in_bits"},
    {"k", "k.bits"},
    {"v", "v.bits"},
}};

void set_cache_width(kernels::KvFormat& format, int bits) {
    if (bits > format.bits) format.clip = 1.0f;
    format.bits = bits;
}

// What stands for itself where it differs from the others.
int own(int bits, int others) {
    return bits == others ? 0 : bits;
}

}  // namespace

std::string_view name_of(Place place) {
    return kNames[static_cast<size_t>(place)].name;
}

std::string_view setting_of(Place place) {
    return kNames[static_cast<size_t>(place)].setting;
}

Widths widths_of(const Recipe& recipe) {
    Widths widths{};
    at(widths, Place::Weights) = recipe.weights.bits;
    at(widths, Place::DownWeights) = weight_bits(recipe, LinearRole::Down);
    at(widths, Place::AttnIn) = activation_format(recipe, LinearRole::Q).bits;
    at(widths, Place::OIn) = activation_format(recipe, LinearRole::O).bits;
    at(widths, Place::MlpIn) = activation_format(recipe, LinearRole::Gate).bits;
    at(widths, Place::DownIn) = activation_format(recipe, LinearRole::Down).bits;
    at(widths, Place::K) = recipe.k.bits;
    at(widths, Place::V) = recipe.v.bits;
    return widths;
}

Recipe with_widths(const Recipe& recipe, const Widths& widths) {
    Recipe result = recipe;
    result.weights.bits = at(widths, Place::Weights);
    result.down_bits = own(at(widths, Place::DownWeights), result.weights.bits);
    const int others = recipe.activations.bits;
    const int down = result.down_bits != 0 ? result.down_bits : others;
    result.site_bits = {.attn_in = own(at(widths, Place::AttnIn), others),
                        .o_in = own(at(widths, Place::OIn), others),
                        .mlp_in = own(at(widths, Place::MlpIn), others),
                        .down_in = own(at(widths, Place::DownIn), down)};
    if (others == 16) result.site_bits = {};
    set_cache_width(result.k, at(widths, Place::K));
    set_cache_width(result.v, at(widths, Place::V));
    return result;
}

double mean_bits(const Recipe& recipe, const model::ModelConfig& config) {
    return (model::bits_per_weight(recipe, config) + model::bits_per_activation(recipe, config) +
            model::bits_per_kv(recipe, config)) /
           3.0;
}

}  // namespace quarot::search
