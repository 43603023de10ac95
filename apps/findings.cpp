#include "apps/findings.h"

#include <fmt/format.h>

#include <vector>

#include "apps/arg_values.h"
#include "apps/report.h"
#include "io/output_folder.h"

namespace quarot::apps {

namespace {

std::string guard_table(const search::GuardResult& guard) {
    std::vector<std::vector<std::string>> rows = {{"setting", "KL", "without", "is"}};
    for (const search::KnobVerdict& verdict : guard.verdicts) {
        rows.push_back({std::string(verdict.knob.name), fmt::format("{:.5f}", verdict.kl),
                        verdict.kl_without ? fmt::format("{:.5f}", *verdict.kl_without) : "-",
                        verdict.is_reverted ? "turned back" : "kept"});
    }
    return format_table(rows);
}

// What is known of each place, in the order of what its bits give.
std::string budget_table(const search::BudgetPlan& plan) {
    std::vector<std::vector<std::string>> rows = {
        {"place", "bits", "KL", "wider", "KL", "adds bits", "KL per bit", "chosen"}};
    for (const size_t index : search::by_gain(plan.places)) {
        const search::PlaceChoice& choice = plan.places[index];
        rows.push_back({std::string(name_of(choice.place)), std::to_string(choice.bits),
                        fmt::format("{:.4f}", choice.kl), std::to_string(choice.wide_bits),
                        choice.wide_kl ? fmt::format("{:.4f}", *choice.wide_kl) : "-",
                        fmt::format("{:.3f}", choice.extra_bits),
                        fmt::format("{:.4f}", choice.gain_per_bit()),
                        std::to_string(choice.is_widened ? choice.wide_bits : choice.bits)});
    }
    return format_table(rows);
}

}  // namespace

std::string findings_text(const Findings& findings) {
    std::string text;
    if (findings.guard) text += guard_table(*findings.guard) + "\n";
    if (!findings.budget) return text;
    const search::BudgetPlan& plan = *findings.budget;
    return text + budget_table(plan) + "\n" +
           format_pairs({{"budget", fmt::format("{:.3f} bits a value", plan.budget)},
                         {"without it", fmt::format("{:.3f}", plan.recipe_bits)},
                         {"planned", fmt::format("{:.3f}", plan.bits)},
                         {"expected KL", fmt::format("{:.4f}", plan.expected_kl())}}) +
           "\n";
}

void add_findings(io::Json& json, const Findings& findings) {
    if (findings.guard) json.set("guard", search::to_json(*findings.guard));
    if (findings.budget) json.set("budget", search::to_json(*findings.budget));
}

void SearchFlags::declare(Args& args) {
    args.add({"--budget", "B",
              "spend so many bits a value, the mean of weights, activations and cache, where the "
              "end of --calib shows that they pay; --resume searches again",
              [this](const Given& g) { budget_ = as_number(g, 2.0f, 16.0f); }});
    args.add({"--guard", "",
              "turn back each setting without which the end of --calib is predicted better; "
              "quantizes once more for each, also with --resume",
              [this](const Given& g) { guard_ = as_switch(g); }});
}

Findings SearchFlags::find(const JobFlags& job, const folder::SourceModel& source,
                           const std::string& out, quantize::QuantizeOptions& options) const {
    Findings findings;
    if (!budget_ && !guard_) {
        job.read_text(source, options);
        return findings;
    }
    if (budget_) search::check_budget(*budget_, options.recipe, source.config());
    const bool replaces = options.overwrite || options.resume;
    io::check_output_folder(out, replaces, {source.folder()});
    const search::HeldOutText text = job.read_text_apart(
        source, options, guard_ ? "--guard judges settings" : "--budget chooses widths");
    if (guard_) {
        findings.guard = search::guard(source, options, text, out);
        options.recipe = findings.guard->recipe;
        for (const search::KnobVerdict& verdict : findings.guard->verdicts) {
            if (verdict.is_reverted) options.reverted.emplace_back(verdict.knob.name);
        }
    }
    if (budget_) {
        findings.budget = search::plan_budget(*budget_, source, options, text, out);
        options.recipe = findings.budget->recipe;
    }
    return findings;
}

}  // namespace quarot::apps
