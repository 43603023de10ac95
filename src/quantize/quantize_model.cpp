// One job: plan, quantize layer after layer into the work folder, assemble the output folder.
#include "quantize/quantize_model.h"

#include <chrono>
#include <filesystem>
#include <map>
#include <new>
#include <system_error>
#include <utility>

#include "core/error.h"
#include "core/progress.h"
#include "core/setting.h"
#include "core/thread_pool.h"
#include "folder/source_model.h"
#include "folder/stored_names.h"
#include "io/file_names.h"
#include "io/output_folder.h"
#include "kernels/backend.h"
#include "model/role_formats.h"
#include "quantize/finished_layer.h"
#include "quantize/job/job_identity.h"
#include "quantize/job/job_plan.h"
#include "quantize/job/work_folder.h"
#include "quantize/layer_quantizer.h"
#include "quantize/model_writer.h"
#include "quantize/output_plan.h"
#include "quantize/provenance.h"
#include "quantize/rounding/quantizer.h"
#include "quantize/shard_writer.h"

namespace quarot::quantize {
namespace {

using model::LinearId;
using model::LinearRole;

bool quantizes_layers(const Recipe& recipe) {
    return weight_bits(recipe, LinearRole::Q) < 16 || weight_bits(recipe, LinearRole::Down) < 16;
}

// Resuming a job that ended: nothing is left to do.
void refuse_finished(const std::string& out, const QuantizeOptions& options) {
    namespace fs = std::filesystem;
    std::error_code ignored;
    if (!options.resume || options.overwrite) return;
    const std::string work = work_folder_of(out, options);
    if (!fs::exists(out, ignored) || fs::exists(work + "/journal.jsonl", ignored)) return;
    fail(ErrorCode::Usage,
         "{} exists and no unfinished work lies in {}, so there is nothing to resume", out, work);
}

// Could the same job end better next time, after space or memory was made or the signal is gone?
bool is_worth_resuming(ErrorCode code) {
    switch (code) {
        case ErrorCode::OutOfMemory:
        case ErrorCode::Io:
        case ErrorCode::Internal:
        case ErrorCode::Interrupted:
        case ErrorCode::Terminated:
        case ErrorCode::Usage:  // OUT appeared while the job ran
            return true;
        default:
            return false;
    }
}

// Ends a job that failed: work worth going on with stays, and the message says so.
[[noreturn]] void leave(WorkFolder& work, const std::string& how_to_go_on, const Error& error) {
    if (!is_worth_resuming(error.code())) {
        work.remove();
        throw error;
    }
    if (work.finished_layers() == 0) throw error;
    throw Error(error.code(),
                fmt::format("{}; {} finished layers are kept in {}, and {}", error.what(),
                            work.finished_layers(), work.path(), how_to_go_on));
}

std::unique_ptr<kernels::Backend> calibration_backend(const QuantizeOptions& options) {
    return kernels::make_backend("cpu", {.n_threads = options.n_threads, .isa = ""});
}

// Made anew when a job is resumed: it costs one pass of the text.
Smoothing smoothing_of(const folder::SourceModel& source, const QuantizeOptions& options,
                       ThreadPool& pool) {
    if (!options.recipe.smoothing.enabled) return {};
    if (options.smoothing) return *options.smoothing;
    const auto backend = calibration_backend(options);
    return find_smoothing(source, options.recipe, options.calibration, pool, *backend);
}

// Brings the work folder to all layers.
void quantize_layers(const QuantizeContext& context, const QuantizeOptions& options,
                     WorkFolder& work) {
    const bool calibrated = calibrates_layers(context.recipe);
    const int64_t n_layers = context.source.config().n_layers;
    if (work.finished_layers() == n_layers) return;
    std::unique_ptr<kernels::Backend> backend;
    if (calibrated) backend = calibration_backend(options);
    LayerQuantizer quantizer(context, calibrated ? options.calibration : TokenWindows{},
                             backend.get());
    const int64_t n_finished = work.finished_layers();
    if (calibrated && n_finished > 0) {
        Progress replaying(fmt::format("replaying {} of {} layers", n_finished, n_layers),
                           n_finished);
        for (int64_t layer = 0; layer < n_finished; ++layer) {
            quantizer.pass(layer, read_finished_layer(context, work, layer));
            replaying.advance();
        }
    }
    int64_t n_linears = 0;
    for (int64_t layer = n_finished; layer < n_layers; ++layer) {
        n_linears += std::ssize(roles_of(context.source.config(), layer));
    }
    Progress progress("quantizing", n_linears);
    for (int64_t layer = n_finished; layer < n_layers; ++layer) {
        QuantizedLayer result = quantizer.quantize(layer, progress);
        work.finish_layer(result.tensors, to_json(result.reports));
    }
}

// In the order of the network.
std::vector<QuantizedLayerReport> ordered(std::vector<QuantizedLayerReport> reports,
                                          const folder::SourceModel& source) {
    std::map<std::string, QuantizedLayerReport> by_name;
    for (QuantizedLayerReport& report : reports) by_name.emplace(report.name, std::move(report));
    std::vector<QuantizedLayerReport> result;
    const auto take = [&](const LinearId& id) {
        const auto found = by_name.find(folder::linear_name(id));
        if (found != by_name.end()) result.push_back(std::move(found->second));
    };
    for (const LinearId& id : linears_of(source.config())) take(id);
    take({LinearRole::LmHead});
    return result;
}

// Writes the folder and makes it appear.
std::vector<QuantizedLayerReport> assemble(const QuantizeContext& context, const std::string& out,
                                           const QuantizeOptions& options,
                                           const InputDigests& inputs, WorkFolder* work) {
    const folder::SourceModel& source = context.source;
    io::OutputFolder folder(out, options.overwrite, {source.folder()});
    ShardWriter shards(context.plan, folder);
    Progress progress("writing", source.config().n_layers + 2);
    const auto read_layer = [&](int64_t layer) {
        return work == nullptr ? std::vector<NamedTensor>{}
                               : read_finished_layer(context, *work, layer);
    };
    ModelWriter writer(context, read_layer, shards, progress);
    writer.write();
    shards.finish();

    std::vector<QuantizedLayerReport> reports = writer.reports();
    for (int64_t layer = 0; work != nullptr && layer < work->finished_layers(); ++layer) {
        for (auto& report : layer_reports_from_json(work->report(layer))) {
            reports.push_back(std::move(report));
        }
    }
    reports = ordered(std::move(reports), source);
    copy_companions(source, folder);
    folder.write_text("config.json",
                      output_config(source, context.recipe, context.plan).dump() + "\n");
    write_provenance({source, context.recipe, context.rotation, reports, shards.hashes(), inputs},
                     folder, context.pool);
    if (work != nullptr) {
        work->record_result(folder.temporary_path() + "/" + io::kProvenanceFile);
    }
    folder.commit();
    return reports;
}

// Of the quantized linears; if there is none, of the decoder's.
double bits_per_weight(const std::vector<QuantizedLayerReport>& reports,
                       const folder::SourceModel& source, const OutputPlan& plan) {
    int64_t bytes = 0, weights = 0;
    for (const QuantizedLayerReport& report : reports) {
        bytes += report.bytes;
        weights += report.weights;
    }
    if (weights == 0) {
        const model::ModelConfig& config = source.config();
        for (const LinearId& id : linears_of(config)) {
            const int64_t n = out_features(id.role, config) * in_features(id.role, config);
            weights += n;
            bytes += n * size_of(plan.dtype_of.at(folder::linear_name(id) + ".weight"));
        }
    }
    return 8.0 * static_cast<double>(bytes) / static_cast<double>(weights);
}

}  // namespace

bool calibrates_layers(const Recipe& recipe) {
    return quantizes_layers(recipe) &&
           (recipe.outliers.enabled() || quantizer_named(recipe.weights.method).needs_calibration);
}

bool needs_calibration(const Recipe& recipe) {
    return recipe.smoothing.enabled || calibrates_layers(recipe);
}

void fail_without_text(const Recipe& recipe) {
    std::string what =
        fmt::format("chooses codes with {}, by how weights act on a text", recipe.weights.method);
    std::string instead = fmt::format("{} rtn", Setting{"weights.method"});
    if (recipe.smoothing.enabled || recipe.outliers.enabled()) {
        what = recipe.smoothing.enabled ? "smooths activations by how large they get on a text"
                                        : "keeps apart the columns that get largest on a text";
        instead = fmt::format("{} rtn", Setting{"recipe"});
    }
    fail(ErrorCode::Usage, "recipe {} {}: give one with {}, or use {}, which needs none",
         recipe.name, what, Setting{"calibration_text"}, instead);
}

QuantizeReport quantize_model(const std::string& in, const std::string& out,
                              const QuantizeOptions& options) {
    const auto start = std::chrono::steady_clock::now();
    const Recipe& recipe = options.recipe;
    check_recipe(recipe);
    if (needs_calibration(recipe) && options.calibration.empty()) fail_without_text(recipe);
    const folder::SourceModel source = folder::SourceModel::open(in);
    refuse_finished(out, options);
    // A job may have been stopped after OUT appeared and before its work folder went. Whether OUT
    // is its own, the work folder knows.
    QuantizeOptions placed = options;
    placed.overwrite = options.overwrite || options.resume;
    throw_first_problem(plan_job(source, placed, out));
    const rotate::Rotation rotation = rotate::make_rotation(recipe.rotation, source.config());
    const OutputPlan plan = plan_output(source, rotation, recipe, options.shard_bytes);

    ThreadPool pool(options.n_threads);
    const InputDigests inputs = digest_inputs(source, pool);
    std::optional<WorkFolder> work;
    if (quantizes_layers(recipe)) {
        work.emplace(work_folder_of(out, options),
                     job_identity(recipe, inputs, options.calibration), options.resume);
    }
    placed.overwrite = options.overwrite || (work && work->made(out));
    io::check_output_folder(out, placed.overwrite, {in});
    std::vector<QuantizedLayerReport> reports;
    try {
        const Smoothing smoothing = smoothing_of(source, options, pool);
        Recipe written = recipe;
        written.smoothing.alpha = smoothing.alpha;  // as it was found
        const QuantizeContext context = {source, written, rotation, plan, pool, smoothing};
        if (work) quantize_layers(context, options, *work);
        reports = assemble(context, out, placed, inputs, work ? &*work : nullptr);
    } catch (const Error& error) {
        if (work) leave(*work, options.how_to_go_on, error);
        throw;
    } catch (const std::bad_alloc&) {
        const Error error(ErrorCode::OutOfMemory, "not enough memory for quantizing " + in);
        if (work) leave(*work, options.how_to_go_on, error);
        throw error;
    }
    if (work) work->remove();
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    return {bits_per_weight(reports, source, plan), elapsed.count(), reports};
}

}  // namespace quarot::quantize
