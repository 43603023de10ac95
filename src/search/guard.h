// Which settings of a recipe hurt on this model?
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "folder/source_model.h"
#include "io/json.h"
#include "quantize/options.h"
#include "recipe/settings.h"
#include "search/held_out.h"
#include "search/trial.h"

namespace quarot::search {

// Settings that one idea needs together; off as the paper's recipe has them.
struct Knob {
    std::string_view name;  // "targets refitted"
    SettingChanges off;
};

// Those that the recipe has turned away from the paper's, and that may be turned back alone. In the
// order in which they are tried: what builds on others first.
std::vector<Knob> knobs_of(const Recipe& recipe);

struct KnobVerdict {
    Knob knob;
    double kl = 0.0;                   // on the windows held out, nats
    std::optional<double> kl_without;  // empty: no number
    bool is_reverted = false;
};

struct GuardResult {
    Recipe recipe;  // without what hurts
    double kl = 0.0;
    std::vector<KnobVerdict> verdicts;
};

// Quantizes with all of the recipe, then once more without each knob, and goes on without it where
// that brings the predictions nearer to full precision's. Knobs of the run alone, on which no code
// depends, are turned back in the folder as it is. options: of the job that will follow. What is
// made stands beside `out` for a while. Errors of quantize_model.
GuardResult guard(const folder::SourceModel& source, const quantize::QuantizeOptions& options,
                  HeldOutText text, const std::string& out);
GuardResult guard(const Recipe& recipe, Trial& trial);

io::Json to_json(const GuardResult& result);

}  // namespace quarot::search
