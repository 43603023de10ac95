// quarot quantize: a model folder in, a rotated and quantized one out.
#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <system_error>
#include <utility>

#include "apps/arg_values.h"
#include "apps/commands.h"
#include "apps/common_flags.h"
#include "apps/findings.h"
#include "apps/job_flags.h"
#include "apps/report.h"
#include "apps/rotation_lines.h"
#include "apps/running_model.h"
#include "apps/setting_flags.h"
#include "core/error.h"
#include "core/log.h"
#include "core/process.h"
#include "folder/recipe_json.h"
#include "folder/source_model.h"
#include "kernels/backend.h"
#include "model/bits_per_value.h"
#include "quantize/provenance.h"
#include "quantize/quantize_model.h"
#include "tokenizer/added_beyond.h"

namespace quarot::apps {

namespace {

struct QuantizeFlags {
    std::string in, out;
    SearchFlags search;
    JobFlags job;
    OutputFlags output;
};

void declare(Args& args, QuantizeFlags& flags) {
    args.add({"IN", "MODEL", "the model as it came: its folder, or a GGUF file",
              [&flags](const Given& g) { flags.in = g.value; }, Shown::First});
    args.add({"OUT", "FOLDER", "where the quantized model appears, whole or not at all",
              [&flags](const Given& g) { flags.out = g.value; }, Shown::First});
    flags.job.declare(args);
    flags.search.declare(args);
    flags.output.declare(args);
    args.example("quarot quantize models/tiny-novels tiny-w4 --calib models/tiny-novels/calib.txt",
                 "the paper's recipe: rotated, GPTQ, 4 bits for weights, activations and cache");
    args.example("quarot quantize models/tiny-novels tiny-rtn --recipe quarot-rtn",
                 "without calibration: weights rounded to nearest");
    args.example("quarot quantize model-f16.gguf OUT --calib TEXT --dtype bf16",
                 "a GGUF file in place of a folder; its blocks are read as fp32");
    args.example("quarot quantize IN OUT --calib TEXT --group-size 64 --a-group-size 64",
                 "a scale for every 64 inputs");
    args.example("quarot quantize IN OUT --calib TEXT --recipe quarot+ --budget 5",
                 "wider where that pays most, 5 bits a value in all");
    args.example("quarot quantize IN OUT --calib TEXT --resume",
                 "go on with a job that was stopped");
}

std::string kind_of(const std::string& layer_name) {
    return layer_name.substr(layer_name.rfind('.') + 1);
}

// One line a kind of layer: q_proj, k_proj, ...
std::string layer_table(const std::vector<quantize::QuantizedLayerReport>& layers) {
    struct Kind {
        std::string name, bits, method;
        int count = 0;
        double sum = 0.0, worst = 0.0;
        int weighted = 0;
        double gain = 0.0;  // sum of the weighted error's shares of the nearest codes'
    };
    std::vector<Kind> kinds;
    for (const quantize::QuantizedLayerReport& layer : layers) {
        const std::string name = kind_of(layer.name);
        auto kind = std::find_if(kinds.begin(), kinds.end(),
                                 [&](const Kind& known) { return known.name == name; });
        if (kind == kinds.end()) {
            kinds.push_back({name, std::to_string(layer.bits), layer.method});
            kind = kinds.end() - 1;
        }
        ++kind->count;
        kind->sum += layer.relative_error;
        kind->worst = std::max(kind->worst, layer.relative_error);
        if (layer.weighted_error && layer.nearest_weighted_error &&
            *layer.nearest_weighted_error > 0.0) {
            ++kind->weighted;
            kind->gain += *layer.weighted_error / *layer.nearest_weighted_error;
        }
    }
    std::vector<std::vector<std::string>> rows = {
        {"layer", "count", "bits", "method", "weight error", "worst", "output error / rtn's"}};
    for (const Kind& kind : kinds) {
        rows.push_back(
            {kind.name, std::to_string(kind.count), kind.bits, kind.method,
             fmt::format("{:.4f}", kind.sum / kind.count), fmt::format("{:.4f}", kind.worst),
             kind.weighted == 0 ? "-" : fmt::format("{:.3f}", kind.gain / kind.weighted)});
    }
    return format_table(rows);
}

// How large the weight files are.
struct Folders {
    int64_t bytes_in = 0;
    int64_t bytes_out = 0;
};

int64_t weight_file_bytes(const io::Checkpoint& checkpoint) {
    int64_t bytes = 0;
    for (const std::string& path : checkpoint.files()) {
        std::error_code error;
        const auto size = std::filesystem::file_size(path, error);
        if (!error) bytes += static_cast<int64_t>(size);
    }
    return bytes;
}

void advise(const QuantizeFlags& flags, const Folders& folders) {
    if (folders.bytes_out >= folders.bytes_in) {
        log_info(
            "the output is not smaller than the input: --dtype bf16 and --head-bits 8 shrink "
            "what is not quantized");
    }
    if (!tokenizer::Tokenizer::is_there(flags.in)) {
        log_warning("{} has no tokenizer.json, so {} has none either, and cannot read texts",
                    flags.in, flags.out);
    }
}

// A model is quantized whatever its tokenizer is; its owner should know what the result can read.
void warn_of_tokenizer(const folder::SourceModel& source) {
    if (!tokenizer::Tokenizer::is_there(source.folder())) return;
    try {
        const auto tokenizer = tokenizer::Tokenizer::load(source.folder());
        const std::string note = tokenizer::note_of_added_beyond(tokenizer, source.config().vocab);
        if (!note.empty()) log_warning("{}: {}", source.folder(), note);
    } catch (const Error& error) {
        log_warning("the quantized folder will read no texts: {}", in_flags(error.what()));
    }
}

void print_json(const quantize::PreparedJob& job, const quantize::QuantizeReport& report,
                const Folders& folders, const Findings& findings) {
    io::Json json = json_document("quantize");
    json.set("out", job.out);
    json.set("recipe", folder::to_json(job.options.recipe));
    json.set("bits_per_weight", report.bits_per_weight);
    json.set("bits_per_value", quantize::bits_per_value(job.options.recipe, job.source.config(),
                                                        report.bits_per_weight));
    add_findings(json, findings);
    json.set("size_bytes", folders.bytes_out);
    json.set("seconds", report.seconds);
    json.set("peak_rss_bytes", peak_rss_bytes());
    json.set("layers", quantize::to_json(report.layers));
    print_document(json);
}

// Scales and zero points counted, as those of weights.
std::string other_bits(const Recipe& recipe, const model::ModelConfig& config) {
    return fmt::format("{:.3f}, {:.3f}, {:.3f}", model::bits_per_activation(recipe, config),
                       model::bits_per_k(recipe, config), model::bits_per_v(recipe, config));
}

void print_text(const quantize::PreparedJob& job, const quantize::QuantizeReport& report,
                const Folders& folders) {
    const Recipe& recipe = job.options.recipe;
    print_result(
        layer_table(report.layers) + "\n" +
        format_pairs({{"out", job.out},
                      {"recipe", describe(recipe)},
                      {"rotation", describe_rotation(recipe.rotation, job.source.config())},
                      {"size", fmt::format("{} (was {})", human_bytes(folders.bytes_out),
                                           human_bytes(folders.bytes_in))},
                      {"bits per weight", fmt::format("{:.3f}", report.bits_per_weight)},
                      {"bits per activation, K, V", other_bits(recipe, job.source.config())},
                      {"seconds", fmt::format("{:.2f}", report.seconds)},
                      {"peak memory", human_bytes(peak_rss_bytes())}}));
}

void log_machine(const quantize::PreparedJob& job) {
    kernels::BackendInfo info = {"cpu", kernels::best_isa_tier(), job.options.n_threads};
    if (!quantize::device_kind(job).empty()) info = job.backend->info();
    log_info("backend {}, tier {}, {}, recipe {}", info.name, info.tier,
             describe_threads(job.options.n_threads), describe(job.options.recipe));
}

void work(const QuantizeFlags& flags) {
    flags.output.apply();
    if (flags.in.empty() || flags.out.empty()) {
        fail(ErrorCode::Usage, "quantize needs a model and a folder: quarot quantize IN OUT");
    }
    refuse_hub_name(flags.in);
    folder::SourceModel source = folder::SourceModel::open(flags.in);
    quantize::QuantizeOptions options = flags.job.settings(source);
    const Findings findings = flags.search.find(flags.job, source, flags.out, options);
    if (!flags.output.json) print_result(findings_text(findings));
    warn_of_tokenizer(source);
    const quantize::PreparedJob job = prepare_job(std::move(source), std::move(options), flags.out);
    log_machine(job);
    Folders folders{.bytes_in = weight_file_bytes(job.source.checkpoint())};
    const quantize::QuantizeReport report = run_job(job);
    folders.bytes_out = weight_file_bytes(io::Checkpoint::open(flags.out));
    advise(flags, folders);
    flags.output.json ? print_json(job, report, folders, findings)
                      : print_text(job, report, folders);
}

}  // namespace

Work quantize_command(Args& args) {
    auto flags = std::make_shared<QuantizeFlags>();
    declare(args, *flags);
    return [flags] { work(*flags); };
}

}  // namespace quarot::apps
