#include "quantize/options.h"

#include "core/error.h"
#include "model/role_formats.h"
#include "quantize/rounding/quantizer.h"

namespace quarot::quantize {

using model::LinearRole;

bool quantizes_layers(const Recipe& recipe) {
    return weight_bits(recipe, LinearRole::Q) < 16 || weight_bits(recipe, LinearRole::Down) < 16;
}

bool calibrates_layers(const Recipe& recipe) {
    return quantizes_layers(recipe) && (recipe.outliers.enabled() || recipe.clip_search ||
                                        quantizer_named(recipe.weights.method).needs_calibration);
}

bool needs_calibration(const Recipe& recipe) {
    return recipe.smoothing.enabled || recipe.rotation.looks_at_text() || calibrates_layers(recipe);
}

bool refits_weights(const Recipe& recipe) {
    return calibrates_layers(recipe) && recipe.weights.target == WeightTarget::Refit;
}

void check_backend(const Recipe& recipe, const kernels::Backend& backend) {
    if (!refits_weights(recipe) || backend.traits().cross_grams) return;
    fail(ErrorCode::Unsupported, "{} refit is not available on {}, expected {} cpu",
         Setting{"weights.target"}, backend.info().name, Setting{"device"});
}

void fail_without_text(const Recipe& recipe) {
    std::string what =
        fmt::format("chooses codes with {}, by how weights act on a text", recipe.weights.method);
    std::string instead = fmt::format("{} rtn", Setting{"weights.method"});
    if (recipe.clip_search) {
        what = "finds clip ratios of activations on a text";
        instead = fmt::format("{}", Setting{"activations.clip"});
    } else if (recipe.rotation.looks_at_text()) {
        what = "finds rotations by what linears read on a text";
        instead = fmt::format("{} quarot-rtn", Setting{"recipe"});
    } else if (recipe.smoothing.enabled || recipe.outliers.enabled()) {
        what = recipe.smoothing.enabled ? "smooths activations by how large they get on a text"
                                        : "keeps apart the columns that get largest on a text";
        instead = fmt::format("{} rtn", Setting{"recipe"});
    }
    fail(ErrorCode::Usage, "recipe {} {}: give one with {}, or use {}, which needs none",
         recipe.name, what, Setting{"calibration_text"}, instead);
}

}  // namespace quarot::quantize
