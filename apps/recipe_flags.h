// The flags of quantize and plan that choose a recipe and change it.
#pragma once

#include <optional>
#include <string>

#include "apps/args.h"
#include "apps/setting_flags.h"
#include "recipe/settings.h"

namespace quarot::apps {

// A value of --rotate; Error{Usage} for one that set_rotation does not take.
std::string as_rotation(const Given& given);

class RecipeFlags {
  public:
    void declare(Args& args, SettingsShown which = SettingsShown::All);
    // The named recipe, or the default one, with every flag applied. If that changes more than the
    // seed, the stored dtype and how the calibration text is cut, its name becomes that of the
    // recipe with these settings, or "custom". has_text: is there a calibration text? Error{Usage,
    // Unsupported}.
    Recipe resolve(bool has_text) const;
    // What the flags change of a folder as it is; empty if one of them changes its weights.
    std::optional<SettingChanges> run_time_changes() const;
    // Was the length of calibration windows chosen, or is it the default?
    bool has_seqlen() const { return changes_.contains("calibration.seqlen"); }

  private:
    std::string recipe_;
    std::optional<std::string> rotate_;
    SettingChanges changes_;
};

}  // namespace quarot::apps
