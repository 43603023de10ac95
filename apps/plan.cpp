// quarot plan: what a quantize job will take, and what stands in its way, before it is begun.
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "apps/commands.h"
#include "apps/common_flags.h"
#include "apps/job_flags.h"
#include "apps/report.h"
#include "apps/setting_flags.h"
#include "core/error.h"
#include "folder/source_model.h"
#include "quantize/job/job_time.h"
#include "quantize/job/prepared_job.h"

namespace quarot::apps {

namespace {

struct PlanFlags {
    std::string in, out;
    JobFlags job;
    OutputFlags output;
};

void declare(Args& args, PlanFlags& flags) {
    args.add({"IN", "MODEL", "the model as it came: its folder, or a GGUF file",
              [&flags](const Given& g) { flags.in = g.value; }, Shown::First});
    args.add({"OUT", "FOLDER", "where the quantized model would appear; looked at if given",
              [&flags](const Given& g) { flags.out = g.value; }, Shown::First});
    flags.job.declare(args);
    flags.output.declare(args);
    args.note("It ends with 0 also when it lists problems; scripts read `problems` of --json.");
    args.example("quarot plan models/tiny-novels tiny-w4 --calib models/tiny-novels/calib.txt",
                 "memory, disk and time of quantize with the same words");
    args.example("quarot plan IN --recipe quarot-rtn", "of the model alone, wherever it goes");
}

struct Plan {
    quantize::PreparedJob job;
    std::optional<double> seconds;
};

// A text that is missing or too short is one problem among others; the estimates then count the
// windows that were asked for.
Plan make_plan(const PlanFlags& flags) {
    folder::SourceModel source = folder::SourceModel::open(flags.in);
    quantize::QuantizeOptions options = flags.job.settings(source);
    std::vector<Error> problems;
    try {
        flags.job.read_text(source, options);
    } catch (const Error& error) {
        problems.push_back(error);
    }
    Plan plan{.job = prepare_job(std::move(source), std::move(options), flags.out)};
    if (plan.job.plan) {
        if (!flags.out.empty()) look_at_work(plan.job);
        plan.seconds = estimate_seconds(plan.job);
    }
    auto& found = plan.job.problems;
    found.insert(found.begin(), problems.begin(), problems.end());
    return plan;
}

void print_json(const Plan& plan) {
    io::Json problems = io::Json::Array{};
    for (const Error& problem : plan.job.problems) problems.push_back(in_flags(problem.what()));
    const quantize::JobNeeds& needs = plan.job.needs;
    io::Json json = json_document("plan");
    json.set("ram_bytes", needs.ram_bytes);
    json.set("device_bytes", needs.device_bytes);
    json.set("disk_bytes", needs.disk_bytes);
    json.set("output_bytes", needs.output_bytes);
    json.set("run_ram_bytes", needs.run_ram_bytes);
    json.set("finished_layers", needs.finished_layers);
    json.set("seconds", plan.seconds ? io::Json(*plan.seconds) : io::Json());
    json.set("layers", plan.job.source.config().n_layers);
    json.set("problems", problems);
    print_document(json);
}

std::string human_time(std::optional<double> known) {
    if (!known) return "not known for a GPU";
    const double seconds = *known;
    if (seconds < 120.0) return fmt::format("about {:.0f} s", std::max(seconds, 1.0));
    if (seconds < 7200.0) return fmt::format("about {:.0f} min", seconds / 60.0);
    return fmt::format("about {:.1f} h", seconds / 3600.0);
}

void print_text(const Plan& plan) {
    const quantize::JobNeeds& needs = plan.job.needs;
    std::string text;
    if (plan.job.plan) {  // else a problem leaves nothing to estimate
        std::string layers = std::to_string(plan.job.source.config().n_layers);
        if (needs.finished_layers > 0) {
            layers += fmt::format(", {} of them finished", needs.finished_layers);
        }
        std::string memory = human_bytes(needs.ram_bytes);
        if (needs.device_bytes > 0) {
            memory += fmt::format(", of the GPU {}", human_bytes(needs.device_bytes));
        }
        text = format_pairs(
            {{"layers", layers},
             {"peak memory", memory},
             {"disk", human_bytes(needs.disk_bytes)},
             {"time", human_time(plan.seconds)},
             {"output", human_bytes(needs.output_bytes)},
             {"memory to run", fmt::format("{} with {} tokens of context",
                                           human_bytes(needs.run_ram_bytes), needs.run_context)}});
    }
    for (const Error& problem : plan.job.problems) {
        text += fmt::format("problem: {}\n", in_flags(problem.what()));
    }
    print_result(text);
}

void work(const PlanFlags& flags) {
    flags.output.apply();
    if (flags.in.empty()) fail(ErrorCode::Usage, "plan needs a folder: quarot plan IN [OUT]");
    refuse_hub_name(flags.in);
    const Plan plan = make_plan(flags);
    flags.output.json ? print_json(plan) : print_text(plan);
}

}  // namespace

Work plan_command(Args& args) {
    auto flags = std::make_shared<PlanFlags>();
    declare(args, *flags);
    return [flags] { work(*flags); };
}

}  // namespace quarot::apps
