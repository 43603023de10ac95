#include "apps/setting_flags.h"

#include <algorithm>
#include <iterator>

#include "core/setting.h"

namespace quarot::apps {

namespace {

struct SettingFlag {
    std::string_view setting;
    std::string_view flag;
};

constexpr SettingFlag kFlags[] = {
    // Of a recipe.
    {"weights.method", "--method"},
    {"weights.bits", "--w-bits"},
    {"weights.group_size", "--group-size"},
    {"weights.damp", "--damp"},
    {"weights.group_scales", "--group-scales"},
    {"activations.bits", "--a-bits"},
    {"activations.group_size", "--a-group-size"},
    {"activations.clip", "--a-clip"},
    {"activations.symmetric", "--a-asym"},
    {"activations.zero_point", "--a-zero"},
    {"k.bits", "--k-bits"},
    {"k.clip", "--k-clip"},
    {"k_bias", "--k-bias"},
    {"v.bits", "--v-bits"},
    {"v.clip", "--v-clip"},
    {"down_bits", "--down-bits"},
    {"head_bits", "--head-bits"},
    {"storage", "--dtype"},
    {"rotation.residual", "--rotate"},
    {"rotation.online_dtype", "--hadamard-dtype"},
    {"calibration.nsamples", "--nsamples"},
    {"calibration.seqlen", "--seqlen"},
    {"calibration.activations", "--calib-activations"},
    {"smoothing.alpha", "--smooth-alpha"},
    // Of a job.
    {"recipe", "--recipe"},
    {"calibration_text", "--calib"},
    {"text_format", "--text-format"},
    {"overwrite", "--overwrite"},
    {"resume", "--resume"},
    {"work_folder", "--work-dir"},
    {"shard_bytes", "--shard-size"},
    {"out", "--out"},
    {"tables", "--tables"},
    // Of a run.
    {"context", "--ctx"},
    {"window_tokens", "--seqlen"},
    {"chat", "--chat"},
    {"device", "--device"},
    {"temperature", "--temp"},
    {"top_k", "--top-k"},
    {"top_p", "--top-p"},
    {"min_p", "--min-p"},
    {"repetition_penalty", "--repetition-penalty"},
};

}  // namespace

std::string flag_of(std::string_view setting) {
    const auto known = std::find_if(std::begin(kFlags), std::end(kFlags),
                                    [&](const SettingFlag& f) { return f.setting == setting; });
    return known == std::end(kFlags) ? "" : std::string(known->flag);
}

std::string in_flags(std::string_view message) {
    return respelled(message, flag_of);
}

}  // namespace quarot::apps
