// One job: quantize layer after layer into the work folder, assemble the output folder.
#include "quantize/quantize_model.h"

#include <chrono>
#include <map>
#include <new>
#include <utility>

#include "core/check.h"
#include "core/error.h"
#include "core/progress.h"
#include "core/setting.h"
#include "core/thread_pool.h"
#include "folder/source_model.h"
#include "folder/stored_names.h"
#include "io/file_names.h"
#include "io/output_folder.h"
#include "model/role_formats.h"
#include "quantize/calibration/text_rotation.h"
#include "quantize/finished_layer.h"
#include "quantize/job/job_identity.h"
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
                            work.finished_layers(), work.path(), how_to_go_on),
                error.setting());
}

// Made anew when a job is resumed: it costs one pass of the text.
Smoothing smoothing_of(const PreparedJob& job, ThreadPool& pool) {
    const QuantizeOptions& options = job.options;
    if (!options.recipe.smoothing.enabled) return {};
    if (options.smoothing) return *options.smoothing;
    return find_smoothing(job.source, options.recipe, options.calibration, pool, *job.backend);
}

// Found anew when a job is resumed, which the work folder compares with what finished layers have.
rotate::Rotation rotation_of(const PreparedJob& job, WorkFolder* work, ThreadPool& pool) {
    rotate::Rotation rotation = *job.rotation;
    if (!job.options.recipe.rotation.looks_at_text()) return rotation;
    find_rotation(job.source, job.options.recipe, job.options.calibration, pool, *job.backend,
                  rotation);
    if (work != nullptr) work->record_rotation(rotation_digest(rotation));
    return rotation;
}

// Brings the work folder to all layers.
void quantize_layers(const QuantizeContext& context, const PreparedJob& job, WorkFolder& work) {
    const bool calibrated = calibrates_layers(context.recipe);
    const int64_t n_layers = context.source.config().n_layers;
    if (work.finished_layers() == n_layers) return;
    LayerQuantizer quantizer(context, calibrated ? job.options.calibration : TokenWindows{},
                             calibrated ? job.backend.get() : nullptr);
    const int64_t n_finished = work.finished_layers();
    if (calibrated && n_finished > 0) {
        Progress replaying(fmt::format("replaying {} of {} layers", n_finished, n_layers),
                           n_finished);
        for (int64_t layer = 0; layer < n_finished; ++layer) {
            quantizer.pass(layer, FinishedLayer(context, work, layer));
            replaying.advance();
        }
    }
    int64_t n_linears = 0;
    for (int64_t layer = n_finished; layer < n_layers; ++layer) {
        n_linears += std::ssize(linears_of(context.source.config(), layer));
    }
    Progress progress("quantizing", n_linears);
    for (int64_t layer = n_finished; layer < n_layers; ++layer) {
        work.begin_layer(planned_layer(context, layer));
        const auto reports = quantizer.quantize(
            layer, [&](const NamedTensor& tensor) { work.put(tensor); }, progress);
        work.finish_layer(to_json(reports));
    }
}

// In the order of the network, behind its layers the embedding, where it is quantized, and lm_head.
std::vector<QuantizedLayerReport> ordered(std::vector<QuantizedLayerReport> reports,
                                          const folder::SourceModel& source, const Recipe& recipe) {
    std::map<std::string, QuantizedLayerReport> by_name;
    for (QuantizedLayerReport& report : reports) by_name.emplace(report.name, std::move(report));
    std::vector<QuantizedLayerReport> result;
    const auto take = [&](const LinearId& id) {
        const auto found = by_name.find(folder::linear_name(id));
        if (found != by_name.end()) result.push_back(std::move(found->second));
    };
    for (const LinearId& id : linears_of(source.config())) take(id);
    if (weight_bits(recipe, LinearRole::Embedding) < 16) take({LinearRole::Embedding});
    take({LinearRole::LmHead});
    return result;
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
            const int64_t n = out_features(id, config) * in_features(id, config);
            weights += n;
            bytes += n * size_of(plan.dtype_of.at(folder::linear_name(id) + ".weight"));
        }
    }
    return 8.0 * static_cast<double>(bytes) / static_cast<double>(weights);
}

// Writes the folder and makes it appear.
std::vector<QuantizedLayerReport> assemble(const QuantizeContext& context, io::OutputFolder& folder,
                                           const InputDigests& inputs,
                                           const std::vector<std::string>& reverted,
                                           WorkFolder* work) {
    const folder::SourceModel& source = context.source;
    ShardWriter shards(context.plan, folder);
    Progress progress("writing", source.config().n_layers + 2);
    ModelWriter writer(context, work, shards, progress);
    writer.write();
    shards.finish();

    std::vector<QuantizedLayerReport> reports = writer.reports();
    for (int64_t layer = 0; work != nullptr && layer < work->finished_layers(); ++layer) {
        for (auto& report : layer_reports_from_json(work->report(layer))) {
            reports.push_back(std::move(report));
        }
    }
    reports = ordered(std::move(reports), source, context.recipe);
    copy_companions(source, folder);
    folder.write_text("config.json",
                      output_config(source, context.recipe, context.plan).dump() + "\n");
    write_provenance({source, context.recipe, context.rotation, reports, shards.hashes(), inputs,
                      bits_per_weight(reports, source, context.plan), reverted},
                     folder, context.pool);
    if (work != nullptr) {
        work->record_result(folder.temporary_path() + "/" + io::kProvenanceFile);
    }
    folder.commit();
    return reports;
}

}  // namespace

QuantizeReport run_job(const PreparedJob& job) {
    const auto start = std::chrono::steady_clock::now();
    const QuantizeOptions& options = job.options;
    const folder::SourceModel& source = job.source;
    if (needs_calibration(options.recipe) && options.calibration.empty()) {
        fail_without_text(options.recipe);
    }
    throw_first_problem(job);
    QUAROT_CHECK(job.rotation.has_value() && job.plan.has_value());
    ThreadPool pool(options.n_threads);
    const InputDigests inputs = digest_inputs(source, pool);
    std::optional<WorkFolder> work;
    if (quantizes_layers(options.recipe)) {
        work.emplace(work_folder_of(job.out, options),
                     job_identity(options.recipe, inputs, options.calibration, device_kind(job)),
                     options.resume);
    }
    // A job may have been stopped after OUT appeared and before its work folder went. Whether OUT
    // is its own, the work folder knows.
    const bool overwrite = options.overwrite || (work && work->made(job.out));
    io::check_output_folder(job.out, overwrite, {source.folder()});
    std::vector<QuantizedLayerReport> reports;
    try {
        const Smoothing smoothing = smoothing_of(job, pool);
        const rotate::Rotation rotation = rotation_of(job, work ? &*work : nullptr, pool);
        Recipe written = options.recipe;
        written.smoothing.alpha = smoothing.alpha;  // as it was found
        const QuantizeContext context = {source, written, rotation, *job.plan, pool, smoothing};
        if (work) quantize_layers(context, job, *work);
        io::OutputFolder folder(job.out, overwrite, {source.folder()});
        reports = assemble(context, folder, inputs, options.reverted, work ? &*work : nullptr);
    } catch (const Error& error) {
        if (work) leave(*work, options.how_to_go_on, error);
        throw;
    } catch (const std::bad_alloc&) {
        const Error error(ErrorCode::OutOfMemory,
                          "not enough memory for quantizing " + source.folder());
        if (work) leave(*work, options.how_to_go_on, error);
        throw error;
    }
    if (work) work->remove();
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    return {bits_per_weight(reports, source, *job.plan), elapsed.count(), reports};
}

QuantizeReport quantize_model(const std::string& in, const std::string& out,
                              const QuantizeOptions& options) {
    return run_job(prepare_job(folder::SourceModel::open(in), options, out));
}

}  // namespace quarot::quantize
