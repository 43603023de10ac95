// Which settings of a recipe may be combined.
#include "recipe/recipe.h"

#include <algorithm>
#include <array>
#include <bit>

#include "core/error.h"
#include "core/setting.h"
#include "recipe/settings.h"

namespace quarot {

namespace {

constexpr Setting kRotation{"rotation.residual"};
constexpr Setting kWeightBits{"weights.bits"};

constexpr std::array<std::string_view, 5> kParts = {"r1", "r2", "r3", "r4", "heads"};

// Of a list with commas, each once.
std::vector<std::string_view> parts_of(const std::string& list) {
    std::vector<std::string_view> parts;
    for (size_t at = 0; at <= list.size();) {
        const size_t end = std::min(list.find(',', at), list.size());
        const std::string_view part = std::string_view(list).substr(at, end - at);
        if (std::find(kParts.begin(), kParts.end(), part) == kParts.end() ||
            std::find(parts.begin(), parts.end(), part) != parts.end()) {
            fail(ErrorCode::Usage,
                 "{} is {}, expected hadamard, random, aligned, none, or some of "
                 "r1,r2,r3,r4,heads, each once",
                 kRotation, list);
        }
        parts.push_back(part);
        at = end + 1;
    }
    return parts;
}

void set_parts(RotationSpec& spec, const std::vector<std::string_view>& parts) {
    const auto has = [&](std::string_view part) {
        return std::find(parts.begin(), parts.end(), part) != parts.end();
    };
    spec.residual_sha256.clear();
    spec.residual = has("r1") ? ResidualRotation::Hadamard : ResidualRotation::None;
    spec.fold_norms = has("r1");
    spec.value_heads = has("r2");
    spec.aligned_values = spec.aligned_values && spec.value_heads;
    spec.query_key = has("r3");
    spec.ffn = has("r4");
    spec.head_mix = has("heads");
}

// All of the width, from a file that is known.
void check_file(const RotationSpec& rotation) {
    const bool is_from_file = rotation.residual == ResidualRotation::File;
    if (is_from_file == rotation.residual_sha256.empty()) {
        fail(ErrorCode::Usage, "the rotation has {}, expected both or neither",
             is_from_file ? "an R1 from a file and no digest of that"
                          : "the digest of a file and an R1 that is not from one");
    }
    if (is_from_file && rotation.residual_block != 0) {
        fail(ErrorCode::Usage,
             "the rotation has blocks of {} in an R1 from a file, expected a whole matrix",
             rotation.residual_block);
    }
}

// Directions are turned into levels of whole groups.
void check_aligned(const Recipe& recipe) {
    if (recipe.rotation.residual != ResidualRotation::Aligned) return;
    constexpr Setting kGroup{"activations.group_size"};
    const int64_t group = recipe.activations.group_size;
    if (group == 0) {
        fail(ErrorCode::Usage,
             "{} aligned gathers what is large in some groups of activations, so that the scales "
             "of the others get finer, and with {} 0 a token has one scale, which would only get "
             "coarser; set {} or use hadamard",
             kRotation, kGroup, kGroup);
    }
    if (!std::has_single_bit(static_cast<uint64_t>(group))) {
        fail(ErrorCode::Usage,
             "{} aligned has a Hadamard in each group, and {} is {}, expected a "
             "power of two",
             kRotation, kGroup, group);
    }
    if (recipe.rotation.residual_block == 0) return;
    fail(ErrorCode::Usage,
         "the rotation has blocks of {} in an aligned R1, expected a whole matrix",
         recipe.rotation.residual_block);
}

void check_rotation(const RotationSpec& rotation) {
    check_file(rotation);
    if (rotation.aligned_values && !rotation.value_heads) {
        fail(ErrorCode::Usage, "{} says what R2 is, and there is none; let {} have r2",
             Setting{"rotation.aligned_values"}, kRotation);
    }
    if (rotation.residual == ResidualRotation::None || rotation.fold_norms) return;
    fail(ErrorCode::Usage,
         "{} turns the residual stream, which needs folded norm gains (fold_norms)", kRotation);
}

void check_kv(char which, const kernels::KvFormat& format) {
    if (format.group_size != 0) {
        fail(ErrorCode::Unsupported,
             "groups of {} inside a head of {} are not in this version, expected whole heads",
             format.group_size, which);
    }
    if (format.exempt_positions != 0) {
        fail(ErrorCode::Unsupported, "exempt positions of {} are {}, and this version has none",
             which, format.exempt_positions);
    }
    if (format.axis == kernels::KvAxis::Token && format.block != kernels::KvFormat{}.block) {
        fail(ErrorCode::Usage, "{} is of keys by channel, and {} is token, expected channel",
             Setting{"k.block"}, Setting{"k.axis"});
    }
}

void check_activations(const kernels::ActivationFormat& format) {
    if (format.zero == kernels::ZeroPoint::Real && format.symmetric) {
        fail(ErrorCode::Usage,
             "{} real needs codes with a zero point ({}): symmetric ones have none",
             Setting{"activations.zero_point"}, Setting{"activations.symmetric"});
    }
    if (format.scales == kernels::ActivationScales::Group) return;
    constexpr Setting kScales{"activations.scales"};
    if (format.group_size == 0) {
        fail(ErrorCode::Usage, "{} two-level needs groups ({}): whole rows have one scale each",
             kScales, Setting{"activations.group_size"});
    }
    if (format.has_offsets()) {
        fail(ErrorCode::Usage, "{} two-level has no integer zero points, expected {} real", kScales,
             Setting{"activations.zero_point"});
    }
}

// Settings of the weights that only GPTQ reads, beyond those of the paper.
void check_gptq(const Recipe& recipe) {
    const WeightFormat& weights = recipe.weights;
    const bool searches_by_inputs = weights.scale_search == ScaleSearch::Hessian;
    const bool refits = weights.target == WeightTarget::Refit;
    const std::pair<bool, Setting> wanted[] = {{searches_by_inputs, {"weights.scale_search"}},
                                               {refits, {"weights.target"}}};
    for (const auto& [is_wanted, setting] : wanted) {
        if (!is_wanted || weights.method == "gptq") continue;
        fail(ErrorCode::Usage, "{} is of GPTQ, which looks at a text, and {} is {}, expected gptq",
             setting, Setting{"weights.method"}, weights.method);
    }
    constexpr Setting kShare{"weights.refit_share"};
    if (refits && weights.refit_share == 0.0) {
        fail(ErrorCode::Usage, "{} is 0, so that {} refit leaves weights as they are", kShare,
             Setting{"weights.target"});
    }
    if (!refits && weights.refit_share != WeightFormat{}.refit_share) {
        fail(ErrorCode::Usage, "{} is of refitted weights, and {} is stored, expected refit",
             kShare, Setting{"weights.target"});
    }
    if (searches_by_inputs && !weights.clip_search) {
        fail(ErrorCode::Usage, "{} is hessian, and nothing is searched without {}",
             Setting{"weights.scale_search"}, Setting{"weights.clip_search"});
    }
    if (refits && recipe.calibration.activations != CalibrationActivations::Quantized) {
        fail(ErrorCode::Usage,
             "{} refit fits weights to inputs of the quantized model, and {} is full, expected "
             "quantized",
             Setting{"weights.target"}, Setting{"calibration.activations"});
    }
}

void check_smoothing(const Recipe& recipe) {
    if (!recipe.smoothing.enabled || !recipe.rotation.fold_norms) return;
    fail(ErrorCode::Usage,
         "smoothing scales the norm gains, and a rotation folds them into the weights; choose one "
         "of both ({} none)",
         kRotation);
}

void check_outliers(const Recipe& recipe) {
    if (!recipe.outliers.enabled()) return;
    if (recipe.weights.bits == 16) {
        fail(ErrorCode::Usage,
             "recipe {} keeps columns apart from quantized weights, and {} is 16: there are none",
             recipe.name, kWeightBits);
    }
    if (recipe.calibration.activations == CalibrationActivations::Quantized) {
        fail(ErrorCode::Usage,
             "recipe {} chooses columns by their inputs in full precision, and "
             "{} is quantized, expected full",
             recipe.name, Setting{"calibration.activations"});
    }
}

}  // namespace

void set_rotation(Recipe& recipe, const std::string& how) {
    RotationSpec& spec = recipe.rotation;
    const bool random = how == "random", aligned = how == "aligned";
    if (random || how == "hadamard" || how == "none") {
        spec.aligned_values = false;
        spec.up_balance = 0.0;
    }
    if (random || aligned || how == "hadamard") {
        set_parts(spec, {kParts.begin(), kParts.end()});
        if (random) spec.residual = ResidualRotation::Random;
        if (aligned) spec.residual = ResidualRotation::Aligned;
        return;
    }
    set_parts(spec, how == "none" ? std::vector<std::string_view>() : parts_of(how));
}

std::string rotation_parts(const RotationSpec& rotation) {
    const bool there[] = {rotation.residual != ResidualRotation::None, rotation.value_heads,
                          rotation.query_key, rotation.ffn, rotation.head_mix};
    std::string list;
    for (size_t i = 0; i < kParts.size(); ++i) {
        if (there[i]) list.append(list.empty() ? "" : ",").append(kParts[i]);
    }
    return list.empty() ? "none" : list;
}

kernels::ActivationFormat outlier_activation_format(const Recipe& recipe) {
    kernels::ActivationFormat format;
    if (recipe.activations.bits < 16) format.bits = recipe.outliers.bits;
    return format;
}

WeightFormat outlier_weight_format(const Recipe& recipe) {
    return {.bits = recipe.outliers.bits, .clip_search = false};
}

void check_recipe(const Recipe& recipe) {
    check_ranges(recipe);
    check_rotation(recipe.rotation);
    check_gptq(recipe);
    check_aligned(recipe);
    check_activations(recipe.activations);
    check_smoothing(recipe);
    check_outliers(recipe);
    check_kv('K', recipe.k);
    check_kv('V', recipe.v);
}

}  // namespace quarot
