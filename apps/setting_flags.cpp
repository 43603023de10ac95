#include "apps/setting_flags.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "apps/arg_values.h"
#include "apps/flag_names.h"
#include "core/setting.h"
#include "quantize/rounding/quantizer.h"

namespace quarot::apps {

namespace {

struct SettingFlag {
    std::string_view setting;
    std::string_view flag;
};

// Besides those of recipe_settings().
constexpr SettingFlag kFlags[] = {
    // Of a job.
    {"recipe", "--recipe"},
    {"rotation.residual", "--rotate"},
    {"budget", "--budget"},
    {"calibration_text", "--calib"},
    {"text_format", "--text-format"},
    {"overwrite", "--overwrite"},
    {"resume", "--resume"},
    {"tp_max", "--tp-max"},
    {"work_folder", "--work-dir"},
    {"shard_bytes", "--shard-size"},
    {"out", "--out"},
    {"tables", "--tables"},
    // Of a run.
    {"context", "--ctx"},
    {"rope_scaling", "--rope-scaling"},
    {"window_tokens", "--seqlen"},
    {"windows", "--windows"},
    {"protocol", "--protocol"},
    {"kl_base", "--kl-base"},
    {"save_kl_base", "--save-kl-base"},
    {"chat", "--chat"},
    {"device", "--device"},
    {"temperature", "--temp"},
    {"top_k", "--top-k"},
    {"top_p", "--top-p"},
    {"min_p", "--min-p"},
    {"repetition_penalty", "--repetition-penalty"},
};

std::string names_of(const SettingHelp& help) {
    if (help.word.empty()) return fmt::format("--{}", help.off);
    return fmt::format("--{}{}{}", help.word, help.off.empty() ? "" : ",!--", help.off);
}

void add_flag(Args& args, const RecipeSetting& setting, SettingChanges& to) {
    const auto set = [&setting, &to](const Given& given) {
        const bool turns_off = setting.help.word.empty();
        to[std::string(setting.key)] =
            turns_off ? !as_switch(given) : as_setting(given, setting.field);
    };
    const SettingHelp& help = setting.help;
    Flag& flag = args.add({names_of(help), std::string(help.value), std::string(help.text), set,
                           help.main ? Shown::First : Shown::Full});
    flag.choices.assign(setting.field.words.begin(), setting.field.words.end());
    if (setting.key == "weights.method") flag.choices = quantize::quantizer_names();
}

// One flag for K and V, which those for one of them beat since they are declared behind it.
void add_cache_flag(Args& args, const std::string& what, Flag flag, SettingChanges& to) {
    flag.set = [what, &to](const Given& given) {
        to["k." + what] = as_setting(given, recipe_setting("k." + what).field);
        to["v." + what] = to["k." + what];
    };
    args.add(std::move(flag));
}

void add_cache_flags(Args& args, SettingChanges& to) {
    add_cache_flag(args, "bits",
                   {.names = "--kv-bits",
                    .value = "N",
                    .help = "bits of K and V in the cache",
                    .shown = Shown::First},
                   to);
    add_cache_flag(args, "clip",
                   {.names = "--kv-clip", .value = "R", .help = "clip ratio of K and V"}, to);
}

// Formats: how weights are quantized and where embedding and head go is left out.
bool is_among(SettingsShown which, const RecipeSetting& setting) {
    if (which == SettingsShown::All || setting.at_run_time) return true;
    if (which == SettingsShown::AtRunTime) return false;
    constexpr std::string_view kFormats[] = {
        "rotation.seed",         "weights.bits",           "weights.group_size",
        "weights.symmetric",     "weights.clip_search",    "activations.group_size",
        "activations.symmetric", "activations.zero_point", "down_bits"};
    return std::find(std::begin(kFormats), std::end(kFormats), setting.key) != std::end(kFormats);
}

}  // namespace

void add_setting_flags(Args& args, SettingsShown which, SettingChanges& to) {
    for (const RecipeSetting& setting : recipe_settings()) {
        if (setting.help.text.empty() || !is_among(which, setting)) continue;
        if (setting.key == "k.bits") add_cache_flags(args, to);
        add_flag(args, setting, to);
    }
}

std::string flag_of(std::string_view setting) {
    for (const RecipeSetting& known : recipe_settings()) {
        if (known.key == setting && !known.help.text.empty())
            return long_name(names_of(known.help));
    }
    const auto known = std::find_if(std::begin(kFlags), std::end(kFlags),
                                    [&](const SettingFlag& f) { return f.setting == setting; });
    return known == std::end(kFlags) ? "" : std::string(known->flag);
}

std::string in_flags(std::string_view message) {
    return respelled(message, flag_of);
}

}  // namespace quarot::apps
