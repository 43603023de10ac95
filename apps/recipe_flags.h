// The flags of quantize and plan that choose a recipe and change it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "apps/args.h"
#include "folder/load_weights.h"
#include "recipe/recipe.h"

namespace quarot::apps {

class RecipeFlags {
  public:
    void declare(Args& args);
    // The named recipe, or the default one, with every flag applied. If that changes more than the
    // seed, the stored dtype and how the calibration text is cut, its name becomes that of the
    // recipe with these settings, or "custom". has_text: is there a calibration text? Error{Usage,
    // Unsupported}.
    Recipe resolve(bool has_text) const;
    // What the flags change of a folder as it is; empty if one of them changes its weights.
    std::optional<folder::ActivationOverrides> run_time_changes() const;
    // Was the length of calibration windows chosen, or is it the default?
    bool has_seqlen() const { return seqlen_.has_value(); }

  private:
    void declare_widths(Args& args);
    void declare_clips(Args& args);
    void declare_rotation(Args& args);
    void declare_groups(Args& args);
    void declare_method(Args& args);
    void declare_calibration(Args& args);
    void apply_method(Recipe& recipe) const;
    void apply_formats(Recipe& recipe) const;
    void apply_rotation(Recipe& recipe) const;

    std::string recipe_;
    std::optional<int> w_bits_, a_bits_, k_bits_, v_bits_, kv_bits_, down_bits_, head_bits_;
    std::optional<KeyBiasUse> k_bias_;
    std::optional<float> a_clip_, k_clip_, v_clip_, kv_clip_;
    std::optional<bool> w_clip_search_, w_asymmetric_, a_asymmetric_;
    std::optional<std::string> method_, rotate_, dtype_, hadamard_dtype_, a_zero_, group_scales_;
    std::optional<std::string> calib_windows_, calib_activations_;
    std::optional<uint32_t> seed_;
    std::optional<int64_t> group_size_, a_group_size_, n_samples_, seqlen_;
    std::optional<float> damp_, smooth_alpha_;
    std::optional<bool> act_order_;
};

}  // namespace quarot::apps
