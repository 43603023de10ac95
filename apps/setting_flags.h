// The flags by which people change settings that the library calls by other names.
#pragma once

#include <string>
#include <string_view>

#include "apps/args.h"
#include "recipe/settings.h"

namespace quarot::apps {

// Of a recipe, or those that say what is rotated and quantized to what, or what a folder may run
// with.
enum class SettingsShown { All, Formats, AtRunTime };

// A flag for each setting of a recipe that people change; `to` receives what was given.
void add_setting_flags(Args& args, SettingsShown which, SettingChanges& to);

// "--w-bits" of "weights.bits"; empty for a setting that no flag changes.
std::string flag_of(std::string_view setting);
// A message of the library with flags for the settings that it names.
std::string in_flags(std::string_view message);

}  // namespace quarot::apps
