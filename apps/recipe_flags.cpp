// The flags that choose a recipe and change single numbers of it.
#include "apps/recipe_flags.h"

#include <algorithm>
#include <limits>
#include <utility>
#include <vector>

#include "apps/arg_values.h"
#include "apps/common_flags.h"
#include "apps/near_miss.h"
#include "core/error.h"
#include "core/log.h"
#include "io/text.h"

namespace quarot::apps {

namespace {

constexpr const char* kMainRecipes =
    "quarot, quarot-rtn, quarot-128g, quarot-64g, w4a8kv4, w6a6kv6, w8a8kv8, rtn";

template <typename T>
std::optional<T> first_of(const std::optional<T>& a, const std::optional<T>& b) {
    return a ? a : b;
}

Recipe chosen_recipe(const std::string& name) {
    if (name.empty()) return named_recipe(default_recipe_name());
    const std::vector<std::string> names = known_recipes();
    if (std::find(names.begin(), names.end(), name) != names.end()) {
        return named_recipe(name);
    }
    const std::string near = near_miss(name, names);
    fail(ErrorCode::Usage, "--recipe {} is unknown; {}the main ones are {}", io::printable(name),
         near.empty() ? "" : "did you mean " + near + "? ", kMainRecipes);
}

std::string recipe_help() {
    return std::string(kMainRecipes) + ", or a row of the paper's tables [" +
           default_recipe_name() + "]";
}

}  // namespace

void RecipeFlags::declare(Args& args) {
    args.add({"--recipe", "NAME", recipe_help(), [this](const Given& g) { recipe_ = g.value; },
              Shown::First})
        .likely = known_recipes();
    declare_widths(args);
    declare_clips(args);
    declare_rotation(args);
    declare_method(args);
    declare_groups(args);
    declare_calibration(args);
}

void RecipeFlags::declare_widths(Args& args) {
    const auto bits = [&args](const char* name, const char* help, std::optional<int>& to,
                              Shown shown = Shown::Full) {
        args.add({name, "N", help, [&to](const Given& g) { to = as_bits(g); }, shown});
    };
    bits("--w-bits", "bits of weights, 2 to 8, or 16: not quantized", w_bits_, Shown::First);
    bits("--a-bits", "bits of activations", a_bits_, Shown::First);
    bits("--kv-bits", "bits of K and V in the cache", kv_bits_, Shown::First);
    bits("--k-bits", "bits of K", k_bits_);
    bits("--v-bits", "bits of V", v_bits_);
    bits("--down-bits", "bits of down_proj's weights and input, if others", down_bits_);
    bits("--head-bits", "bits of lm_head's weights [16]", head_bits_);
}

void RecipeFlags::declare_clips(Args& args) {
    const auto clip = [&args](const char* name, const char* help, std::optional<float>& to) {
        args.add({name, "R", help, [&to](const Given& g) { to = as_clip(g); }});
    };
    const auto on = [&args](const char* name, const char* help, std::optional<bool>& to) {
        args.add({name, "", help, [&to](const Given& g) { to = as_switch(g); }});
    };
    clip("--a-clip", "clip ratio of activations, in (0, 1]", a_clip_);
    clip("--kv-clip", "clip ratio of K and V", kv_clip_);
    clip("--k-clip", "clip ratio of K", k_clip_);
    clip("--v-clip", "clip ratio of V", v_clip_);
    on("--w-clip-search,!--no-w-clip-search", "search each weight row's best clip ratio, or do not",
       w_clip_search_);
    on("--w-asym", "weights with a zero point", w_asymmetric_);
    on("--a-asym", "activations with a zero point", a_asymmetric_);
}

void RecipeFlags::declare_rotation(Args& args) {
    args.add({"--rotate", "HOW", "hadamard, random (R1 alone) or none",
              [this](const Given& g) { rotate_ = g.value; }, Shown::First})
        .choices = {"hadamard", "random", "none"};
    args.add({"--seed", "N", "of the rotation's random numbers [0]", [this](const Given& g) {
                  seed_ =
                      static_cast<uint32_t>(as_integer(g, 0, std::numeric_limits<uint32_t>::max()));
              }});
    args.add({"--dtype", "TYPE", "of rotated tensors not quantized: keep, f32, f16, bf16 [keep]",
              [this](const Given& g) { dtype_ = g.value; }})
        .choices = {"keep", "f32", "f16", "bf16"};
    args.add({"--hadamard-dtype", "TYPE", "of the online Hadamards: fp32 or fp16 [fp32]",
              [this](const Given& g) { hadamard_dtype_ = g.value; }})
        .choices = {"fp32", "fp16"};
}

void RecipeFlags::declare_groups(Args& args) {
    const auto group = [&args](const char* name, const char* help, std::optional<int64_t>& to) {
        args.add({name, "N", help, [&to](const Given& g) { to = as_integer(g, 0, 1 << 20); }});
    };
    group("--group-size", "inputs of a weight that share a scale; 0: all of a row [0]",
          group_size_);
    group("--a-group-size", "the same of activations [0]", a_group_size_);
    add_k_bias_flag(args, k_bias_);
    args.add({"--a-zero", "KIND", "zero points of --a-asym: integer or real [integer]",
              [this](const Given& g) { a_zero_ = g.value; }})
        .choices = {"integer", "real"};
}

void RecipeFlags::declare_method(Args& args) {
    args.add({"--method", "NAME", "how weights are quantized: rtn, or gptq, which needs --calib",
              [this](const Given& g) { method_ = g.value; }, Shown::First})
        .choices = {"rtn", "gptq"};
    args.add({"--damp", "R", "gptq: share of the Hessian's mean diagonal added to it [0.01]",
              [this](const Given& g) { damp_ = as_number(g, 0.0f, 1.0f); }});
    args.add({"--act-order", "", "gptq: columns with the largest inputs first",
              [this](const Given& g) { act_order_ = as_switch(g); }});
    args.add({"--group-scales", "WHEN",
              "gptq: from updated weights, or as the original from block-start [updated]",
              [this](const Given& g) { group_scales_ = g.value; }})
        .choices = {"updated", "block-start"};
    args.add({"--smooth-alpha", "R",
              "smooth activations into weights by this power; 0: the best of 0.1 to 0.9",
              [this](const Given& g) { smooth_alpha_ = as_number(g, 0.0f, 1.0f); }});
}

void RecipeFlags::declare_calibration(Args& args) {
    args.add({"--nsamples", "N", "calibration windows [32]",
              [this](const Given& g) { n_samples_ = as_integer(g, 1, 1 << 20); }});
    args.add({"--seqlen", "N", "tokens of a calibration window [2048, or what the model has]",
              [this](const Given& g) { seqlen_ = as_integer(g, 2, 1 << 20); }});
    args.add({"--calib-windows", "WHICH", "first: from the start on, or random by --seed [random]",
              [this](const Given& g) { calib_windows_ = g.value; }})
        .choices = {"first", "random"};
    args.add({"--calib-activations", "HOW",
              "what layers hand on while calibrating: full precision or quantized [full]",
              [this](const Given& g) { calib_activations_ = g.value; }})
        .choices = {"full", "quantized"};
}

Recipe RecipeFlags::resolve(bool has_text) const {
    Recipe recipe = chosen_recipe(recipe_);
    if (!method_ && !has_text && rounds_without_text(recipe.name)) {
        recipe.weights.method = "rtn";
        log_info(
            "recipe {} without --calib rounds weights to nearest, which costs 1.5 to 5 times as "
            "much "
            "in the logarithm of perplexity as GPTQ, which needs a text",
            recipe.name);
    }
    apply_formats(recipe);
    apply_method(recipe);
    apply_rotation(recipe);
    check_recipe(recipe);
    recipe.name = name_by_settings(recipe);
    return recipe;
}

std::optional<folder::ActivationOverrides> RecipeFlags::run_time_changes() const {
    const bool changes_weights =
        !recipe_.empty() || w_bits_ || down_bits_ || head_bits_ || w_clip_search_ ||
        w_asymmetric_ || a_asymmetric_ || method_ || rotate_ || dtype_ || hadamard_dtype_ ||
        a_zero_ || group_scales_ || calib_windows_ || calib_activations_ || seed_ || group_size_ ||
        a_group_size_ || n_samples_ || seqlen_ || damp_ || smooth_alpha_ || act_order_;
    if (changes_weights) return std::nullopt;
    folder::ActivationOverrides changes;
    changes.a_bits = a_bits_;
    changes.k_bits = first_of(k_bits_, kv_bits_);
    changes.v_bits = first_of(v_bits_, kv_bits_);
    changes.a_clip = a_clip_;
    changes.k_clip = first_of(k_clip_, kv_clip_);
    changes.v_clip = first_of(v_clip_, kv_clip_);
    return changes;
}

void RecipeFlags::apply_formats(Recipe& recipe) const {
    const auto set = [](auto& to, const auto& value) {
        if (value) to = *value;
    };
    set(recipe.weights.bits, w_bits_);
    set(recipe.weights.clip_search, w_clip_search_);
    set(recipe.weights.group_size, group_size_);
    set(recipe.activations.group_size, a_group_size_);
    set(recipe.k_bias, k_bias_);
    if (a_zero_) {
        recipe.activations.zero =
            *a_zero_ == "real" ? kernels::ZeroPoint::Real : kernels::ZeroPoint::Integer;
    }
    if (w_asymmetric_) recipe.weights.symmetric = !*w_asymmetric_;
    set(recipe.activations.bits, a_bits_);
    set(recipe.activations.clip, a_clip_);
    if (a_asymmetric_) recipe.activations.symmetric = !*a_asymmetric_;
    set(recipe.k.bits, first_of(k_bits_, kv_bits_));
    set(recipe.v.bits, first_of(v_bits_, kv_bits_));
    set(recipe.k.clip, first_of(k_clip_, kv_clip_));
    set(recipe.v.clip, first_of(v_clip_, kv_clip_));
    set(recipe.down_bits, down_bits_);
    set(recipe.head_bits, head_bits_);
}

void RecipeFlags::apply_method(Recipe& recipe) const {
    WeightFormat& weights = recipe.weights;
    if (method_) weights.method = *method_;
    if (damp_) weights.damp = *damp_;
    if (act_order_) weights.act_order = *act_order_;
    if (smooth_alpha_) recipe.smoothing = {.enabled = true, .alpha = *smooth_alpha_};
    if (group_scales_) {
        weights.group_scales =
            *group_scales_ == "updated" ? GroupScales::Updated : GroupScales::BlockStart;
    }
    CalibrationSpec& calibration = recipe.calibration;
    if (n_samples_) calibration.n_samples = *n_samples_;
    if (seqlen_) calibration.seqlen = *seqlen_;
    if (calib_windows_) {
        calibration.windows =
            *calib_windows_ == "first" ? CalibrationWindows::First : CalibrationWindows::Random;
    }
    if (calib_activations_) {
        calibration.activations = *calib_activations_ == "full" ? CalibrationActivations::Full
                                                                : CalibrationActivations::Quantized;
    }
}

void RecipeFlags::apply_rotation(Recipe& recipe) const {
    if (rotate_) set_rotation(recipe, *rotate_);
    if (hadamard_dtype_) {
        recipe.rotation.online_dtype = *hadamard_dtype_ == "fp16" ? DType::F16 : DType::F32;
    }
    if (seed_) recipe.rotation.seed = *seed_;
    if (dtype_) set_storage(recipe, *dtype_);
}

}  // namespace quarot::apps
