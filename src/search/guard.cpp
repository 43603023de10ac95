#include "search/guard.h"

#include <algorithm>
#include <utility>

#include "core/error.h"
#include "core/log.h"
#include "core/progress.h"

namespace quarot::search {

namespace {

// What differs by less than this share of the divergence is noise of a few windows.
constexpr double kNoise = 0.01;

// With the settings that say nothing without it.
struct KnobKeys {
    std::string_view name;
    std::vector<std::string_view> keys;
};

const std::vector<KnobKeys>& knobs() {
    static const std::vector<KnobKeys> kKnobs = {
        {"share of the refit", {"weights.refit_share"}},
        {"refit", {"weights.target", "weights.refit_share"}},
        {"scale search", {"weights.scale_search"}},
        {"act-order", {"weights.act_order"}},
        {"damping", {"weights.damp"}},
        {"calibration on quantized activations", {"calibration.activations"}},
        {"balance of up and down", {"rotation.up_balance"}},
        {"aligned R2", {"rotation.aligned_values"}},
        {"R1", {"rotation.residual"}},
        {"clip of activations", {"activations.clip", "activations.clip_search"}},
        {"axis of keys", {"k.axis", "k.block"}},
        {"clip of K", {"k.clip"}},
        {"clip of V", {"v.clip"}},
        {"first positions", {"activations.first_positions"}}};
    return kKnobs;
}

// An R1 from a file, or none, is what somebody wanted.
bool is_settled(const Recipe& recipe, std::string_view key) {
    return key == "rotation.residual" && recipe.rotation.residual != ResidualRotation::Aligned;
}

SettingChanges changes_to(const Recipe& base, const Recipe& recipe, const KnobKeys& knob) {
    SettingChanges changes;
    for (const std::string_view key : knob.keys) {
        const SettingField& field = recipe_setting(key).field;
        if (is_settled(recipe, key) || field.get(recipe) == field.get(base)) continue;
        changes[std::string(key)] = field.get(base);
    }
    return changes;
}

bool may_be(const Recipe& recipe) {
    try {
        check_recipe(recipe);
        return true;
    } catch (const Error&) {
        return false;
    }
}

// Does the text run as a later run will, so that codes, clip ratios or smoothing depend on its
// settings?
bool calibrates_as_it_runs(const Recipe& recipe) {
    return quantize::needs_calibration(recipe) &&
           (recipe.clip_search || (recipe.smoothing.enabled && recipe.smoothing.alpha == 0.0) ||
            recipe.calibration.activations == CalibrationActivations::Quantized);
}

bool needs_no_folder(const Recipe& candidate, const SettingChanges& changes) {
    return !calibrates_as_it_runs(candidate) &&
           std::all_of(changes.begin(), changes.end(),
                       [](const auto& change) { return recipe_setting(change.first).at_run_time; });
}

// Goes without a knob where that is better.
class Guarding {
  public:
    Guarding(Trial& trial, Recipe recipe) : trial_(trial), recipe_(std::move(recipe)) {
        const ProgressScope scope("with all settings");
        folder_ = trial_.made(recipe_, "with");
        kl_ = trial_.kl_of(folder_, run_time_values(recipe_));
    }

    KnobVerdict judge(const Knob& knob) {
        const ProgressScope scope(fmt::format("without {}", knob.name));
        const Recipe candidate = with_changes(recipe_, knob.off);
        std::string folder = folder_;
        KnobVerdict verdict{.knob = knob, .kl = kl_};
        verdict.kl_without = if_finite([&] {
            if (!needs_no_folder(candidate, knob.off)) {
                folder = trial_.made(candidate, other_name());
            }
            return trial_.kl_of(folder, run_time_values(candidate));
        });
        verdict.is_reverted = verdict.kl_without && *verdict.kl_without < (1.0 - kNoise) * kl_;
        tell(verdict);
        if (verdict.is_reverted) {
            recipe_ = candidate;
            folder_ = folder;
            kl_ = *verdict.kl_without;
        }
        return verdict;
    }

    const Recipe& recipe() const { return recipe_; }
    double kl() const { return kl_; }

  private:
    // Of the two, the one that the recipe's own folder does not have.
    std::string other_name() const { return folder_.ends_with("/with") ? "without" : "with"; }

    template <typename Measure>
    static std::optional<double> if_finite(const Measure& measure) {
        try {
            return measure();
        } catch (const Error& error) {
            if (error.code() != ErrorCode::Numeric) throw;
            log_info("{}", error.what());
            return {};
        }
    }

    static void tell(const KnobVerdict& verdict) {
        if (!verdict.kl_without) {
            log_info("{} stays: without it the model cannot be quantized or run, as said above",
                     verdict.knob.name);
        } else if (verdict.is_reverted) {
            log_warning(
                "{} hurts on the windows held out: KL {:.5f} with it, {:.5f} without; it goes back "
                "to what the paper's recipe has",
                verdict.knob.name, verdict.kl, *verdict.kl_without);
        } else {
            log_info("{} stays: KL {:.5f} with it, {:.5f} without", verdict.knob.name, verdict.kl,
                     *verdict.kl_without);
        }
    }

    Trial& trial_;
    Recipe recipe_;
    std::string folder_;
    double kl_ = 0.0;
};

}  // namespace

std::vector<Knob> knobs_of(const Recipe& recipe) {
    const Recipe base = named_recipe(default_recipe_name());
    std::vector<Knob> list;
    for (const KnobKeys& knob : knobs()) {
        SettingChanges off = changes_to(base, recipe, knob);
        if (off.empty() || !may_be(with_changes(recipe, off))) continue;
        list.push_back({knob.name, std::move(off)});
    }
    return list;
}

GuardResult guard(const folder::SourceModel& source, const quantize::QuantizeOptions& options,
                  HeldOutText text, const std::string& out) {
    FolderTrial trial(source, options, std::move(text), out);
    return guard(options.recipe, trial);
}

GuardResult guard(const Recipe& recipe, Trial& trial) {
    Guarding guarding(trial, recipe);
    GuardResult result;
    for (const Knob& knob : knobs_of(recipe)) result.verdicts.push_back(guarding.judge(knob));
    result.recipe = guarding.recipe();
    result.recipe.name = name_by_settings(result.recipe);
    result.kl = guarding.kl();
    return result;
}

io::Json to_json(const GuardResult& result) {
    io::Json::Array knobs;
    for (const KnobVerdict& verdict : result.verdicts) {
        io::Json::Array settings;
        for (const auto& [key, value] : verdict.knob.off) settings.emplace_back(key);
        knobs.emplace_back(io::Json::Object{
            {"knob", std::string(verdict.knob.name)},
            {"settings", std::move(settings)},
            {"kl", verdict.kl},
            {"kl_without", verdict.kl_without ? io::Json(*verdict.kl_without) : io::Json()},
            {"reverted", verdict.is_reverted}});
    }
    return io::Json::Object{{"kl", result.kl}, {"knobs", std::move(knobs)}};
}

}  // namespace quarot::search
