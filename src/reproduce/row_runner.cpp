#include "reproduce/row_runner.h"

#include <algorithm>
#include <chrono>

#include "core/error.h"
#include "core/process.h"
#include "folder/load_weights.h"
#include "model/bits_per_value.h"
#include "model/weights.h"
#include "quantize/quantize_model.h"
#include "reproduce/run_folder.h"

namespace quarot::reproduce {

namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
}

// What making the weights took is kept beside them.
std::string notes_name(const std::string& key) {
    return "models/" + key + ".notes.json";
}

io::Json notes_json(const WeightsFolder& folder) {
    const std::optional<int64_t>& peak = folder.peak_rss_bytes;
    return io::Json::Object{{"bits_per_weight", folder.bits_per_weight},
                            {"seconds", folder.seconds},
                            {"peak_rss_bytes", peak ? io::Json(*peak) : io::Json()}};
}

WeightsFolder read_notes(const std::string& path, const io::Json& json) {
    WeightsFolder folder;
    folder.path = path;
    folder.is_made = true;
    folder.bits_per_weight = json.at("bits_per_weight").as_double();
    folder.seconds = json.at("seconds").as_double();
    if (const io::Json* peak = json.find("peak_rss_bytes")) folder.peak_rss_bytes = peak->as_int();
    return folder;
}

std::optional<int64_t> larger(const std::optional<int64_t>& a, const std::optional<int64_t>& b) {
    if (!a || !b) return std::nullopt;
    return std::max(*a, *b);
}

}  // namespace

const quantize::TokenWindows& RunnerSettings::windows_of(const Recipe& recipe) const {
    static const quantize::TokenWindows kNone;
    if (!quantize::needs_calibration(recipe)) return kNone;
    const auto found = calibration.find(recipe.rotation.seed);
    return found == calibration.end() ? kNone : found->second;
}

WeightsFolder RowRunner::weights(const Recipe& recipe, const RunFolder& folder,
                                 const std::string& key) const {
    const std::string path = folder.model_path(key);
    const std::string notes = folder.path() + "/" + notes_name(key);
    if (exists(path) && exists(notes)) return read_notes(path, io::Json::parse_file(notes));

    quantize::QuantizeOptions options;
    options.recipe = recipe;
    options.calibration = settings_.windows_of(recipe);
    if (recipe.rotation.residual == ResidualRotation::File) options.residual = settings_.residual;
    options.work_folder = path + ".work";
    options.resume = exists(options.work_folder);
    options.how_to_go_on = "the same command goes on with them";
    options.overwrite = true;  // of one that was finished just before its notes were written
    options.n_threads = settings_.n_threads;
    options.device = settings_.device;
    const bool restarted = restart_recent_peak_rss();
    const quantize::QuantizeReport report =
        quantize::quantize_model(settings_.model, path, options);

    WeightsFolder made;
    made.path = path;
    made.is_made = true;
    if (recipe.quantizes_weights()) made.bits_per_weight = report.bits_per_weight;
    made.seconds = report.seconds;
    if (restarted) made.peak_rss_bytes = recent_peak_rss_bytes();
    folder.write(notes_name(key), notes_json(made).dump() + "\n");
    return made;
}

WeightsFolder RowRunner::original() const {
    WeightsFolder folder;
    folder.path = settings_.model;
    return folder;
}

eval::PerplexityResult RowRunner::alone(runtime::Engine& engine) const {
    return eval::perplexity(engine, nullptr, settings_.ids, text_options());
}

eval::PerplexityResult RowRunner::beside_full_precision(runtime::Engine& engine) const {
    const folder::SourceModel source = folder::SourceModel::open(settings_.model);
    const model::Weights weights = folder::load_weights(source, {}, settings_.seqlen, backend_);
    runtime::Engine base(weights, backend_, {.context = settings_.seqlen});
    return eval::perplexity(engine, &base, settings_.ids, text_options());
}

eval::PerplexityOptions RowRunner::text_options() const {
    return {.seqlen = settings_.seqlen, .max_windows = settings_.max_windows};
}

Measurement RowRunner::measure(const Recipe& recipe, const WeightsFolder& folder) const {
    const Clock::time_point start = Clock::now();
    const bool restarted = restart_recent_peak_rss();
    const folder::SourceModel source = folder::SourceModel::open(folder.path);
    Measurement result;
    result.bits_per_weight = folder.bits_per_weight;
    result.bits_per_activation = bits_per_activation(recipe, source.config());
    result.bits_per_kv = bits_per_kv(recipe, source.config());
    result.quantize_seconds = folder.seconds;
    try {
        const model::Weights weights =
            folder::load_weights(source, run_time_values(recipe), settings_.seqlen, backend_);
        runtime::Engine engine(weights, backend_, {.context = settings_.seqlen});
        const eval::PerplexityResult run =
            settings_.beside_full_precision ? beside_full_precision(engine) : alone(engine);
        result.perplexity = run.perplexity;
        result.window_nll = run.window_nll;
        result.tokens_per_second = static_cast<double>(run.n_run) / run.forward_seconds;
        if (run.divergence) {
            result.kl = run.divergence->kl.value;
            result.same_top1 = run.divergence->same_top1.value;
        }
    } catch (const Error& error) {
        if (error.code() != ErrorCode::Numeric) throw;
        result.reason = error.what();
    }
    result.perplexity_seconds = seconds_since(start);
    if (restarted) result.peak_rss_bytes = recent_peak_rss_bytes();
    if (folder.is_made)
        result.peak_rss_bytes = larger(result.peak_rss_bytes, folder.peak_rss_bytes);
    return result;
}

void RowRunner::answer(const Recipe& recipe, const WeightsFolder& folder,
                       std::span<const ZeroShotTask* const> tasks,
                       const std::function<void(const TaskScore&)>& done) const {
    const folder::SourceModel source = folder::SourceModel::open(folder.path);
    int64_t n_positions = 1;
    for (const ZeroShotTask* task : tasks) {
        const int64_t needed = eval::longest_inputs(task->pairs, source.config().max_positions);
        n_positions = std::max(n_positions, needed);
    }
    const model::Weights weights =
        folder::load_weights(source, run_time_values(recipe), n_positions, backend_);
    for (const ZeroShotTask* task : tasks) {
        const Clock::time_point start = Clock::now();
        TaskScore score;
        try {
            runtime::Engine engine(weights, backend_,
                                   eval::scoring_limits(task->pairs, weights, backend_));
            score = score_of(eval::run_task(engine, task->data, task->pairs));
        } catch (const Error& error) {
            if (error.code() != ErrorCode::Numeric) throw;
            score.task = task->name();
            score.reason = error.what();
        }
        score.seconds = seconds_since(start);
        done(score);
    }
}

}  // namespace quarot::reproduce
