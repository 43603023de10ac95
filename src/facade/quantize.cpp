// The public quantize(): its options as a recipe and a job, its result as numbers.
#include "quarot/quantize.h"

#include <algorithm>
#include <utility>

#include "core/error.h"
#include "core/log.h"
#include "core/watch.h"
#include "facade/arguments.h"
#include "folder/source_model.h"
#include "quantize/calibration/calibration_windows.h"
#include "quantize/quantize_model.h"
#include "quantize/residual_matrix.h"
#include "recipe/settings.h"
#include "tokenizer/tokenizer.h"

namespace quarot {

namespace {

template <typename To, typename Value>
void set(To& to, const std::optional<Value>& value) {
    if (value) to = *value;
}

Recipe recipe_of(const QuantizeOptions& options) {
    Recipe recipe = named_recipe(options.recipe);
    set(recipe.weights.bits, options.weight_bits);
    set(recipe.weights.method, options.method);
    const bool has_text = !options.calibration_text.empty();
    if (!options.method && !has_text && rounds_without_text(recipe.name)) {
        recipe.weights.method = "rtn";
        log_info("recipe {} without a calibration text rounds weights to nearest", recipe.name);
    }
    set(recipe.weights.group_size, options.group_size);
    set(recipe.activations.bits, options.activation_bits);
    set(recipe.activations.group_size, options.activation_group_size);
    set(recipe.k.bits, options.kv_bits);
    set(recipe.v.bits, options.kv_bits);
    set(recipe.head_bits, options.head_bits);
    set(recipe.embedding_bits, options.embedding_bits);
    set(recipe.tied_rotation, options.keep_tied);
    set(recipe.activations.clip, options.activation_clip);
    set(recipe.k.clip, options.kv_clip);
    set(recipe.v.clip, options.kv_clip);
    if (options.rotation) set_rotation(recipe, *options.rotation);
    if (options.dtype) recipe = with_changes(recipe, {{"storage", *options.dtype}});
    set(recipe.rotation.seed, options.seed);
    set(recipe.calibration.n_samples, options.calibration_windows);
    set(recipe.calibration.seqlen, options.window_tokens);
    check_recipe(recipe);
    recipe.name = name_by_settings(recipe);
    return recipe;
}

// Q of the file; the job's recipe takes it for R1.
std::vector<double> read_r1(const std::string& file, int64_t hidden,
                            quantize::QuantizeOptions& job) {
    ThreadPool pool(job.n_threads);
    quantize::ResidualMatrix matrix = quantize::read_residual_matrix(file, hidden, pool);
    quantize::use_as_residual(matrix, job.recipe);
    return std::move(matrix.q);
}

// Cut from the text as the recipe says, in windows no longer than the model's context.
quantize::TokenWindows windows(const folder::SourceModel& source, const QuantizeOptions& options,
                               Recipe& recipe) {
    if (options.calibration_text.empty()) quantize::fail_without_text(recipe);
    if (!options.window_tokens) {
        recipe.calibration.seqlen =
            std::min(recipe.calibration.seqlen, source.config().max_positions);
    }
    const auto ids = tokenizer::Tokenizer::load(source.folder()).encode(options.calibration_text);
    return quantize::calibration_windows(ids, recipe.calibration, recipe.rotation.seed);
}

}  // namespace

QuantizeSummary quantize_folder(const std::string& in, const std::string& out,
                                const QuantizeOptions& options,
                                const ProgressCallback& on_progress) {
    const Watch watch(on_progress);
    quantize::QuantizeOptions job;
    job.n_threads = facade::threads_or_all(options.threads);
    job.recipe = recipe_of(options);
    folder::SourceModel source = folder::SourceModel::open(in);
    if (!options.r1_file.empty()) {
        job.residual = read_r1(options.r1_file, source.config().hidden, job);
    }
    if (quantize::needs_calibration(job.recipe)) {
        job.calibration = windows(source, options, job.recipe);
    }
    job.work_folder = options.work_folder;
    job.resume = options.resume;
    job.overwrite = options.overwrite;
    const quantize::QuantizeReport report = run_job(prepare_job(std::move(source), job, out));
    return {.recipe = job.recipe.name,
            .bits_per_weight = report.bits_per_weight,
            .seconds = report.seconds};
}

}  // namespace quarot
