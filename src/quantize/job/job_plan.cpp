// Tries what can be tried without work, and compares what is needed with what there is.
#include "quantize/job/job_plan.h"

#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <filesystem>
#include <optional>
#include <system_error>
#include <utility>

#include "core/host_memory.h"
#include "core/setting.h"
#include "core/thread_pool.h"
#include "folder/stored_names.h"
#include "io/output_folder.h"
#include "kernels/ops.h"
#include "model/role_formats.h"
#include "quantize/job/job_identity.h"
#include "quantize/job/job_memory.h"
#include "quantize/job/work_folder.h"
#include "quantize/output_plan.h"
#include "quantize/rounding/quantizer.h"
#include "rotate/rotation.h"

namespace quarot::quantize {
namespace {

namespace fs = std::filesystem;
using model::LinearRole;

constexpr int64_t kRunContext = 4096;  // tokens

// Of all tensors; the layers of a model are alike.
struct Bytes {
    int64_t output = 0;
    int64_t layer = 0;
    int64_t largest_file = 0;
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

bool is_outside_layers(const std::string& name) {
    const std::string head = folder::linear_name({LinearRole::LmHead});
    return name.starts_with(folder::kEmbeddingName) || name.starts_with(head) ||
           name == folder::norm_name(model::NormRole::Final, 0);
}

Bytes bytes_of(const OutputPlan& plan, int64_t n_layers) {
    Bytes bytes{.output = plan.total_bytes};
    int64_t outside = 0;
    for (const ShardPlan& shard : plan.shards) {
        int64_t file = 0;
        for (const io::PlannedTensor& tensor : shard.tensors) {
            const int64_t size = element_count(tensor.shape) * size_of(tensor.dtype);
            file += size;
            if (is_outside_layers(tensor.name)) outside += size;
        }
        bytes.largest_file = std::max(bytes.largest_file, file);
    }
    bytes.layer = (plan.total_bytes - outside) / n_layers;
    bytes.largest_file = std::max(bytes.largest_file, bytes.layer);
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
            put({error.code(), error.what()});
            return false;
        }
    }
    template <typename... Args>
    void add(ErrorCode code, fmt::format_string<Args...> format, Args&&... args) {
        put({code, fmt::format(format, std::forward<Args>(args)...)});
    }
    std::vector<JobProblem> take() { return std::move(list_); }

  private:
    // Output and work folder may fail for one reason.
    void put(JobProblem problem) {
        for (const JobProblem& known : list_) {
            if (known.sentence == problem.sentence) return;
        }
        list_.push_back(std::move(problem));
    }
    std::vector<JobProblem> list_;
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

// The places of the output and of the work folder: apart from the input and from each other, new or
// replaceable, writable.
void check_places(const folder::SourceModel& source, const QuantizeOptions& options,
                  const std::string& out, Problems& problems) {
    problems.attempt([&] { io::OutputFolder(out, options.overwrite, {source.folder()}); });
    const std::string work = work_folder_of(out, options);
    std::error_code ignored;
    if (fs::exists(work, ignored)) return;  // judged by WorkFolder, which knows its own
    problems.attempt([&] { io::OutputFolder(work, false, {source.folder(), out}); });
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
                     int64_t n_layers, Problems& problems) {
    const int64_t layers = bytes.layer * (n_layers + 1) - bytes_in(work);
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
    return with_margin(output_bytes + n_positions * kernels::kv_bytes_per_token(cache)) +
           kProgramBytes;
}

void check_memory(int64_t needed, const std::string& what, Problems& problems) {
    problems.attempt(
        [&] { require_host_bytes({.weights = needed}, available_host_bytes(), what); });
}

JobShape shape_of(const folder::SourceModel& source, const QuantizeOptions& options,
                  const rotate::Rotation& rotation) {
    const CalibrationSpec& spec = options.recipe.calibration;
    JobShape shape{.config = source.config(),
                   .recipe = options.recipe,
                   .rotation = rotation,
                   .calibrated = needs_calibration(options.recipe),
                   .hessians = calibrates_layers(options.recipe),
                   .n_threads = options.n_threads};
    if (shape.calibrated) {
        const bool known = !options.calibration.empty();
        shape.seqlen = known ? std::ssize(options.calibration.front()) : spec.seqlen;
        shape.n_tokens = shape.seqlen * (known ? std::ssize(options.calibration) : spec.n_samples);
    }
    return shape;
}

}  // namespace

std::string work_folder_of(const std::string& out, const QuantizeOptions& options) {
    if (!options.work_folder.empty()) return options.work_folder;
    std::string path = out;
    while (path.size() > 1 && path.back() == '/') path.pop_back();
    return path + ".work";
}

JobPlan plan_job(const folder::SourceModel& source, const QuantizeOptions& options,
                 const std::string& out) {
    const Recipe& recipe = options.recipe;
    JobPlan result;
    Problems problems;
    const bool can_be_meant = problems.attempt([&] {
        check_recipe(recipe);
        quantizer_named(recipe.weights.method);
        check_unquantized(source);
        check_groups(recipe, source.config());
    });
    std::optional<rotate::Rotation> rotation;
    std::optional<OutputPlan> plan;
    const bool can_be_planned = can_be_meant && problems.attempt([&] {
        rotation = rotate::make_rotation(recipe.rotation, source.config());
        plan = plan_output(source, *rotation, recipe, options.shard_bytes);
    });
    if (!out.empty()) check_places(source, options, out, problems);
    if (can_be_planned) {
        const Bytes bytes = bytes_of(*plan, source.config().n_layers);
        const int64_t n_layers = source.config().n_layers;
        const JobShape shape = shape_of(source, options, *rotation);
        problems.attempt([&] { check_windows(shape, source); });
        problems.attempt([&] { check_ids(options.calibration, source); });
        result.ram_bytes = job_ram_bytes(shape);
        result.disk_bytes = with_margin(bytes.output + bytes.layer * (n_layers + 1));
        result.output_bytes = bytes.output;
        result.run_context = std::min(source.config().max_positions, kRunContext);
        result.run_ram_bytes = run_ram_bytes(bytes.output, recipe, source, result.run_context);
        check_memory(result.ram_bytes, "quantizing " + source.folder(), problems);
        if (!out.empty()) {
            check_free_disk(out, work_folder_of(out, options), bytes, n_layers, problems);
            check_limits(out, bytes, problems);
        }
    }
    result.problems = problems.take();
    return result;
}

void look_at_work(const folder::SourceModel& source, const QuantizeOptions& options,
                  const std::string& out, JobPlan& plan) {
    const std::string work = work_folder_of(out, options);
    std::error_code ignored;
    if (!fs::exists(work, ignored)) return;
    try {
        ThreadPool pool(options.n_threads);
        const io::Json job =
            job_identity(options.recipe, digest_inputs(source, pool), options.calibration);
        plan.finished_layers = finished_layers_in(work, job, options.resume);
        plan.disk_bytes = std::max<int64_t>(0, plan.disk_bytes - bytes_in(work));
    } catch (const Error& error) {
        plan.problems.push_back({error.code(), error.what()});
    }
}

void throw_first_problem(const JobPlan& plan) {
    if (plan.problems.empty()) return;
    throw Error(plan.problems.front().code, plan.problems.front().sentence);
}

}  // namespace quarot::quantize
