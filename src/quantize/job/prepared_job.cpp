// Tries what can be tried without work, and compares what is needed with what there is.
#include "quantize/job/prepared_job.h"

#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <optional>
#include <string_view>
#include <system_error>
#include <utility>

#include "core/check.h"
#include "core/host_memory.h"
#include "core/log.h"
#include "core/setting.h"
#include "core/thread_pool.h"
#include "folder/stored_names.h"
#include "io/output_folder.h"
#include "kernels/backend.h"
#include "model/role_formats.h"
#include "quantize/job/job_identity.h"
#include "quantize/job/job_memory.h"
#include "quantize/job/work_folder.h"
#include "quantize/rounding/quantizer.h"

namespace quarot::quantize {
namespace {

namespace fs = std::filesystem;
using model::LinearRole;

constexpr int64_t kRunContext = 4096;  // tokens

// Of all tensors. Layers differ: dense ones may stand between mixtures.
struct Bytes {
    int64_t output = 0;
    int64_t layers = 0;
    int64_t largest_layer = 0;
    int64_t largest_file = 0;

    // Of the files of layers, the last of which is written beside itself for a while.
    int64_t work() const { return layers + largest_layer; }
};

double gigabytes(int64_t bytes) {
    return static_cast<double>(bytes) * 1e-9;
}

int64_t with_margin(int64_t bytes) {
    return bytes + bytes / 20;
}

std::string parent_of(const std::string& path) {
    const fs::path parent = fs::path(path).parent_path();
    return parent.empty() ? "." : parent.string();
}

// "model.layers.7" of a layer's tensor; empty: it is of none.
std::string_view layer_of(std::string_view name) {
    constexpr std::string_view kLayers = "model.layers.";
    return name.starts_with(kLayers) ? name.substr(0, name.find('.', kLayers.size()))
                                     : std::string_view();
}

Bytes bytes_of(const OutputPlan& plan) {
    Bytes bytes{.output = plan.total_bytes};
    std::map<std::string_view, int64_t> layers;
    for (const ShardPlan& shard : plan.shards) {
        int64_t file = 0;
        for (const io::PlannedTensor& tensor : shard.tensors) {
            const int64_t size = element_count(tensor.shape) * size_of(tensor.dtype);
            file += size;
            if (const auto layer = layer_of(tensor.name); !layer.empty()) layers[layer] += size;
        }
        bytes.largest_file = std::max(bytes.largest_file, file);
    }
    for (const auto& [name, size] : layers) {
        bytes.layers += size;
        bytes.largest_layer = std::max(bytes.largest_layer, size);
    }
    bytes.largest_file = std::max(bytes.largest_file, bytes.largest_layer);
    return bytes;
}

// What stands in a folder already.
int64_t bytes_in(const std::string& folder) {
    int64_t bytes = 0;
    std::error_code error;
    for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
        std::error_code unknown;
        const auto size = fs::file_size(it->path(), unknown);
        if (!unknown) bytes += static_cast<int64_t>(size);
    }
    return bytes;
}

// Collects instead of stopping at the first.
class Problems {
  public:
    template <typename Try>
    bool attempt(const Try& step) {
        try {
            step();
            return true;
        } catch (const Error& error) {
            put(error);
            return false;
        }
    }
    template <typename... Args>
    void add(ErrorCode code, fmt::format_string<Args...> format, Args&&... args) {
        put(make_error(code, format, std::forward<Args>(args)...));
    }
    std::vector<Error> take() { return std::move(list_); }

  private:
    // Output and work folder may fail for one reason.
    void put(const Error& problem) {
        for (const Error& known : list_) {
            if (known.what() == std::string_view(problem.what())) return;
        }
        list_.push_back(problem);
    }
    std::vector<Error> list_;
};

void check_unquantized(const folder::SourceModel& source) {
    if (!source.is_quantized()) return;
    fail(ErrorCode::Unsupported,
         "{} is already the work of this program (recipe {}), expected an unquantized model folder",
         source.folder(), source.recipe().name);
}

void check_windows(const JobShape& shape, const folder::SourceModel& source) {
    if (!shape.calibrated || shape.seqlen <= source.config().max_positions) return;
    fail(ErrorCode::Usage, "{} is {}, and {} is made for at most {} tokens",
         Setting{"calibration.seqlen"}, shape.seqlen, source.folder(),
         source.config().max_positions);
}

// Tokenizers may know more tokens than the model has rows for.
void check_ids(const TokenWindows& windows, const folder::SourceModel& source) {
    const int64_t vocab = source.config().vocab;
    for (const auto& window : windows) {
        for (const int32_t id : window) {
            if (id >= 0 && id < vocab) continue;
            fail(ErrorCode::Corrupt,
                 "the calibration text has token id {}, expected 0 to {}, the vocabulary of {}; is "
                 "this the model's tokenizer?",
                 id, vocab - 1, source.folder());
        }
    }
}

// A refit is judged on windows that it has not seen.
void check_held_out(const JobShape& shape) {
    if (!shape.refits || shape.n_tokens > shape.seqlen) return;
    fail(ErrorCode::Usage,
         "{} refit holds windows out to judge it, and {} is 1, expected 2 at least",
         Setting{"weights.target"}, Setting{"calibration.nsamples"});
}

// Scales of inputs stand in the gains of the norms before them.
void check_smoothing(const Recipe& recipe, const model::ModelConfig& config) {
    const bool has_norms = config.norms.contains(model::NormRole::AttentionIn) &&
                           config.norms.contains(model::NormRole::MlpIn);
    if (!recipe.smoothing.enabled) return;
    if (!has_norms) {
        fail(ErrorCode::Unsupported,
             "recipe {} scales what norms before attention and MLP give, and {} has none there",
             recipe.name, config.architecture);
    }
    const bool is_plain = config.norm == model::NormKind::Rms && !config.parallel && config.gated &&
                          config.learned_positions == 0;
    if (is_plain) return;
    fail(ErrorCode::Unsupported,
         "{} has LayerNorm or parallel blocks, and recipe {} smooths models with neither",
         config.architecture, recipe.name);
}

// Resuming a job that ended: nothing is left to do.
void refuse_finished(const std::string& out, const QuantizeOptions& options) {
    std::error_code ignored;
    if (!options.resume || options.overwrite) return;
    const std::string work = work_folder_of(out, options);
    if (!fs::exists(out, ignored) || fs::exists(work + "/journal.jsonl", ignored)) return;
    fail(ErrorCode::Usage,
         "{} exists and no unfinished work lies in {}, so there is nothing to resume", out, work);
}

// The places of the output and of the work folder: apart from the input and from each other, new or
// replaceable, writable. An output that a resumed job finds may be its own, which run_job looks at.
void check_places(const PreparedJob& job, Problems& problems) {
    const std::string in = job.source.folder();
    const bool replaces = job.options.overwrite || job.options.resume;
    problems.attempt([&] { refuse_finished(job.out, job.options); });
    problems.attempt([&] { io::OutputFolder(job.out, replaces, {in}); });
    const std::string work = work_folder_of(job.out, job.options);
    std::error_code ignored;
    if (fs::exists(work, ignored)) return;  // judged by WorkFolder, which knows its own
    problems.attempt([&] { io::OutputFolder(work, false, {in, job.out}); });
}

struct Place {
    std::string path;  // of a folder that exists
    int64_t needed = 0;
};

std::optional<dev_t> device_of(const std::string& path) {
    struct stat status {};
    if (::stat(path.c_str(), &status) != 0) return std::nullopt;
    return status.st_dev;
}

void check_free_disk(const std::string& out, const std::string& work, const Bytes& bytes,
                     Problems& problems) {
    const int64_t layers = bytes.work() - bytes_in(work);
    std::vector<Place> places = {{parent_of(out), with_margin(bytes.output)},
                                 {parent_of(work), with_margin(std::max(layers, int64_t{0}))}};
    if (device_of(places[0].path) == device_of(places[1].path)) {
        places[0].needed += places[1].needed;
        places.pop_back();
    }
    for (const Place& place : places) {
        struct statvfs disk {};
        if (::statvfs(place.path.c_str(), &disk) != 0) continue;  // check_places has told why
        const auto free = static_cast<int64_t>(disk.f_bavail * disk.f_frsize);
        if (free >= place.needed) continue;
        problems.add(ErrorCode::Io,
                     "{} has {:.2f} GB of free disk, and {:.2f} GB are needed there for a while; "
                     "make room or choose another place",
                     place.path, gigabytes(free), gigabytes(place.needed));
    }
}

void check_limits(const std::string& out, const Bytes& bytes, Problems& problems) {
    rlimit limit{};
    if (::getrlimit(RLIMIT_FSIZE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return;
    if (limit.rlim_cur >= static_cast<rlim_t>(bytes.largest_file)) return;
    problems.add(ErrorCode::Io,
                 "the largest file of {} will have {} bytes, and this process may write files of "
                 "at most {}; raise ulimit -f or give a smaller {}",
                 out, bytes.largest_file, limit.rlim_cur, Setting{"shard_bytes"});
}

// The weights as they are stored and the cache, and what the program itself holds.
int64_t run_ram_bytes(int64_t output_bytes, const Recipe& recipe, const folder::SourceModel& source,
                      int64_t n_positions) {
    constexpr int64_t kProgramBytes = int64_t{40} << 20;
    const model::ModelConfig& config = source.config();
    const kernels::KvDescriptor cache = {.n_layers = config.n_layers,
                                         .n_kv_heads = config.n_kv_heads,
                                         .head_dim = config.head_dim,
                                         .k = recipe.k,
                                         .v = recipe.v};
    return with_margin(output_bytes + n_positions * kernels::kv_bytes_per_token(cache) +
                       newest_block_bytes(cache)) +
           kProgramBytes;
}

void check_memory(int64_t needed, const std::string& what, Problems& problems) {
    problems.attempt(
        [&] { require_host_bytes({.weights = needed}, available_host_bytes(), what); });
}

// Nothing of a recipe without a text runs on a device, but one that is named should be there.
std::shared_ptr<kernels::Backend> open_device(const QuantizeOptions& options) {
    const bool named = options.device != "auto" && options.device != "cpu";
    if (!named && !needs_calibration(options.recipe)) return nullptr;
    return kernels::make_backend(options.device, {.n_threads = options.n_threads, .isa = ""});
}

bool runs_on_gpu(const PreparedJob& job) {
    return device_kind(job) == "cuda";
}

void check_device_memory(const PreparedJob& job, Problems& problems) {
    const std::optional<int64_t> available = job.backend->available_bytes();
    if (!available || *available >= job.needs.device_bytes) return;
    problems.add(ErrorCode::OutOfMemory,
                 "quantizing {} needs {:.2f} GB of the GPU's memory, and {:.2f} GB are free; use a "
                 "smaller {} or {} cpu",
                 job.source.folder(), gigabytes(job.needs.device_bytes), gigabytes(*available),
                 Setting{"calibration.nsamples"}, Setting{"device"});
}

JobShape shape_of(const PreparedJob& job) {
    QUAROT_CHECK(job.rotation.has_value());
    const QuantizeOptions& options = job.options;
    const CalibrationSpec& spec = options.recipe.calibration;
    JobShape shape{.config = job.source.config(),
                   .recipe = options.recipe,
                   .rotation = *job.rotation,
                   .calibrated = needs_calibration(options.recipe),
                   .hessians = calibrates_layers(options.recipe),
                   .refits = refits_weights(options.recipe),
                   .on_gpu = runs_on_gpu(job),
                   .n_threads = options.n_threads};
    if (shape.calibrated) {
        const bool known = !options.calibration.empty();
        shape.seqlen = known ? std::ssize(options.calibration.front()) : spec.seqlen;
        shape.n_tokens = shape.seqlen * (known ? std::ssize(options.calibration) : spec.n_samples);
    }
    return shape;
}

// Of a job that has a plan.
void estimate(PreparedJob& job, Problems& problems) {
    QUAROT_CHECK(job.plan.has_value());
    const folder::SourceModel& source = job.source;
    const Bytes bytes = bytes_of(*job.plan);
    const JobShape shape = shape_of(job);
    problems.attempt([&] { check_windows(shape, source); });
    problems.attempt([&] { check_held_out(shape); });
    problems.attempt([&] { check_ids(job.options.calibration, source); });
    JobNeeds& needs = job.needs;
    needs.ram_bytes = job_ram_bytes(shape);
    needs.disk_bytes = with_margin(bytes.output + bytes.work());
    needs.output_bytes = bytes.output;
    needs.run_context = std::min(source.config().max_positions, kRunContext);
    needs.run_ram_bytes =
        run_ram_bytes(bytes.output, job.options.recipe, source, needs.run_context);
    check_memory(needs.ram_bytes, "quantizing " + source.folder(), problems);
    if (shape.on_gpu) {
        needs.device_bytes = job_device_bytes(shape);
        check_device_memory(job, problems);
    }
    if (job.out.empty()) return;
    check_free_disk(job.out, work_folder_of(job.out, job.options), bytes, problems);
    check_limits(job.out, bytes, problems);
}

// Where the recipe would keep a tied matrix one and cannot.
void say_what_parts_it(const Recipe& recipe, const model::ModelConfig& config) {
    if (!config.tied_embeddings || !recipe.tied_rotation || stays_tied(recipe, config)) return;
    if (folds_means(recipe, config)) {
        log_info(
            "the one matrix of embedding and lm_head becomes two, since LayerNorm's mean is "
            "taken out of the embedding alone");
        return;
    }
    if (recipe.embedding_bits == recipe.head_bits) {
        log_info(
            "the one matrix of embedding and lm_head becomes two, since R1 is "
            "{}",
            recipe.rotation.residual == ResidualRotation::File      ? "from a file"
            : recipe.rotation.residual == ResidualRotation::Aligned ? "aligned"
                                                                    : "random");
        return;
    }
    log_info("the one matrix of embedding and lm_head becomes two, since they have {} and {} bits",
             recipe.embedding_bits, recipe.head_bits);
}

}  // namespace

std::string work_folder_of(const std::string& out, const QuantizeOptions& options) {
    if (!options.work_folder.empty()) return options.work_folder;
    std::string path = out;
    while (path.size() > 1 && path.back() == '/') path.pop_back();
    return path + ".work";
}

PreparedJob prepare_job(folder::SourceModel source, QuantizeOptions options, std::string out) {
    PreparedJob job{
        .source = std::move(source), .options = std::move(options), .out = std::move(out)};
    const Recipe& recipe = job.options.recipe;
    const model::ModelConfig& config = job.source.config();
    Problems problems;
    const bool can_be_meant = problems.attempt([&] {
        check_recipe(recipe);
        quantizer_named(recipe.weights.method);
        check_unquantized(job.source);
        check_mixtures(recipe, config);
        check_groups(recipe, config);
        check_clip_search(recipe, config);
        check_smoothing(recipe, config);
    });
    if (can_be_meant) {
        problems.attempt([&] {
            job.backend = open_device(job.options);
            if (job.backend != nullptr) check_backend(recipe, *job.backend);
        });
        problems.attempt([&] {
            rotate::Rotation rotation =
                rotate::make_rotation(recipe.rotation, config, std::move(job.options.residual));
            job.plan = plan_output(job.source, rotation, recipe, job.options.shard_bytes);
            job.rotation = std::move(rotation);
        });
        say_what_parts_it(recipe, config);
    }
    if (!job.out.empty()) check_places(job, problems);
    if (job.plan) estimate(job, problems);
    job.problems = problems.take();
    return job;
}

void look_at_work(PreparedJob& job) {
    const std::string work = work_folder_of(job.out, job.options);
    std::error_code ignored;
    if (!fs::exists(work, ignored)) return;
    try {
        ThreadPool pool(job.options.n_threads);
        const io::Json identity = job_identity(job.options.recipe, digest_inputs(job.source, pool),
                                               job.options.calibration, device_kind(job));
        job.needs.finished_layers = finished_layers_in(work, identity, job.options.resume);
        job.needs.disk_bytes = std::max<int64_t>(0, job.needs.disk_bytes - bytes_in(work));
    } catch (const Error& error) {
        job.problems.push_back(error);
    }
}

std::string device_kind(const PreparedJob& job) {
    const bool runs = job.backend != nullptr && needs_calibration(job.options.recipe);
    return runs ? job.backend->info().name : "";
}

void throw_first_problem(const PreparedJob& job) {
    if (!job.problems.empty()) throw job.problems.front();
}

}  // namespace quarot::quantize
