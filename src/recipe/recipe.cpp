// Which settings of a recipe a user may combine.
#include "recipe/recipe.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string_view>

#include "core/error.h"
#include "core/setting.h"

namespace quarot {

namespace {

constexpr int64_t kMaxGroup = int64_t{1} << 20;
constexpr int64_t kMaxSamples = int64_t{1} << 20;
constexpr int64_t kMaxSeqlen = int64_t{1} << 20;
constexpr Setting kRotation{"rotation.residual"};
constexpr Setting kWeightBits{"weights.bits"};

void check_width(Setting setting, int bits) {
    if (is_width(bits)) return;
    fail(ErrorCode::Usage, "{} is {}, expected 2 to 8, or 16 for not quantized", setting, bits);
}

void check_clip(Setting setting, float clip) {
    if (is_clip(clip)) return;
    fail(ErrorCode::Usage, "{} is {}, expected a ratio above 0 and at most 1", setting, clip);
}

void check_group_size(Setting setting, int64_t group_size) {
    if (group_size == 0 || is_group_size(group_size)) return;
    fail(ErrorCode::Usage, "{} is {}, expected a multiple of 4 from 4 to {}, or 0 for none",
         setting, group_size, kMaxGroup);
}

void check_rotation(const RotationSpec& rotation) {
    if (rotation.residual != ResidualRotation::None && !rotation.fold_norms) {
        fail(ErrorCode::Usage, "{} turns the residual stream, which needs folded norm gains",
             kRotation);
    }
    if (rotation.residual_block < 0 || rotation.heads_block < 0 || rotation.ffn_block < 0) {
        fail(ErrorCode::Usage, "block sizes of a rotation are {}, {} and {}, expected 0 or more",
             rotation.residual_block, rotation.heads_block, rotation.ffn_block);
    }
}

void check_kv(char which, const kernels::KvFormat& format) {
    check_width({fmt::format("{}.bits", which)}, format.bits);
    check_clip({fmt::format("{}.clip", which)}, format.clip);
    if (format.group_size != 0) {
        fail(ErrorCode::Unsupported,
             "groups of {} inside a head of {} are not in this version, expected whole heads",
             format.group_size, which);
    }
    if (format.exempt_positions != 0) {
        fail(ErrorCode::Unsupported, "exempt positions of {} are {}, and this version has none",
             which, format.exempt_positions);
    }
}

void check_weights(const WeightFormat& weights) {
    check_width(kWeightBits, weights.bits);
    check_group_size({"weights.group_size"}, weights.group_size);
    if (weights.method != "rtn" && weights.method != "gptq") {
        fail(ErrorCode::Usage, "{} is {}, expected rtn or gptq", Setting{"weights.method"},
             weights.method);
    }
    if (!(weights.damp >= 0.0 && weights.damp <= 1.0)) {
        fail(ErrorCode::Usage, "{} is {}, expected 0 to 1", Setting{"weights.damp"}, weights.damp);
    }
}

void check_activations(const kernels::ActivationFormat& format) {
    check_width({"activations.bits"}, format.bits);
    check_clip({"activations.clip"}, format.clip);
    check_group_size({"activations.group_size"}, format.group_size);
    if (format.zero == kernels::ZeroPoint::Real && format.symmetric) {
        fail(ErrorCode::Usage,
             "{} real needs codes with a zero point ({}): symmetric ones have none",
             Setting{"activations.zero_point"}, Setting{"activations.symmetric"});
    }
}

void check_smoothing(const Recipe& recipe) {
    const double alpha = recipe.smoothing.alpha;
    if (!(alpha >= 0.0 && alpha <= 1.0)) {
        fail(ErrorCode::Usage, "{} is {}, expected 0 to 1, 0 for searched",
             Setting{"smoothing.alpha"}, alpha);
    }
    if (recipe.smoothing.enabled && recipe.rotation.fold_norms) {
        fail(ErrorCode::Usage,
             "smoothing scales the norm gains, and a rotation folds them into the weights; choose "
             "one of both ({} none)",
             kRotation);
    }
}

void check_outliers(const Recipe& recipe) {
    const OutlierSpec& outliers = recipe.outliers;
    if (!is_outlier_share(outliers.share)) {
        fail(ErrorCode::Usage, "the share of outlier columns is {}, expected 0 to 0.5",
             outliers.share);
    }
    if (!outliers.enabled()) return;
    check_width({"outliers.bits"}, outliers.bits);
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

void check_calibration(const CalibrationSpec& spec) {
    if (spec.n_samples < 1 || spec.n_samples > kMaxSamples) {
        fail(ErrorCode::Usage, "{} is {}, expected 1 to {}", Setting{"calibration.nsamples"},
             spec.n_samples, kMaxSamples);
    }
    if (spec.seqlen < 2 || spec.seqlen > kMaxSeqlen) {
        fail(ErrorCode::Usage, "{} is {}, expected 2 to {}", Setting{"calibration.seqlen"},
             spec.seqlen, kMaxSeqlen);
    }
}

}  // namespace

void set_rotation(Recipe& recipe, const std::string& how) {
    RotationSpec& spec = recipe.rotation;
    if (how == "none") {
        spec.residual = ResidualRotation::None;
    } else if (how == "hadamard") {
        spec.residual = ResidualRotation::Hadamard;
    } else if (how == "random") {
        spec.residual = ResidualRotation::Random;
    } else {
        fail(ErrorCode::Usage, "rotation is \"{}\", expected hadamard, random or none", how);
    }
    spec.value_heads = spec.query_key = spec.ffn = spec.fold_norms = how != "none";
}

void set_storage(Recipe& recipe, const std::string& dtype) {
    recipe.storage.reset();
    if (dtype == "keep") return;
    if (dtype == "f32") {
        recipe.storage = DType::F32;
    } else if (dtype == "f16") {
        recipe.storage = DType::F16;
    } else if (dtype == "bf16") {
        recipe.storage = DType::BF16;
    } else {
        fail(ErrorCode::Usage, "dtype is \"{}\", expected keep, f32, f16 or bf16", dtype);
    }
}

kernels::ActivationFormat outlier_activation_format(const Recipe& recipe) {
    kernels::ActivationFormat format;
    if (recipe.activations.bits < 16) format.bits = recipe.outliers.bits;
    return format;
}

WeightFormat outlier_weight_format(const Recipe& recipe) {
    return {.bits = recipe.outliers.bits, .clip_search = false};
}

bool is_width(int64_t bits) {
    return (bits >= 2 && bits <= 8) || bits == 16;
}

bool is_group_size(int64_t size) {
    return size >= 4 && size <= kMaxGroup && size % 4 == 0;
}

bool is_outlier_share(double share) {
    return share >= 0.0 && share <= 0.5;
}

bool is_clip(double clip) {
    return clip > 0.0 && clip <= 1.0;
}

void check_recipe(const Recipe& recipe) {
    check_rotation(recipe.rotation);
    check_weights(recipe.weights);
    check_activations(recipe.activations);
    check_calibration(recipe.calibration);
    check_smoothing(recipe);
    check_outliers(recipe);
    check_kv('k', recipe.k);
    check_kv('v', recipe.v);
    if (recipe.down_bits != 0) check_width({"down_bits"}, recipe.down_bits);
    check_width({"head_bits"}, recipe.head_bits);
    if (recipe.storage && !is_float_weight(*recipe.storage)) {
        fail(ErrorCode::Usage, "{} is {}, expected keep, f32, f16 or bf16", Setting{"storage"},
             name_of(*recipe.storage));
    }
}

}  // namespace quarot
