// quarot bench: how many tokens a second a model runs, a folder's or random weights of a shape.
#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <memory>
#include <optional>

#include "apps/arg_values.h"
#include "apps/commands.h"
#include "apps/common_flags.h"
#include "apps/recipe_flags.h"
#include "apps/report.h"
#include "apps/running_model.h"
#include "bench/engine_workload.h"
#include "bench/random_weights.h"
#include "bench/shapes.h"
#include "bench/speed_test.h"
#include "core/checked_math.h"
#include "core/error.h"
#include "core/host_memory.h"
#include "core/log.h"
#include "folder/limits.h"
#include "folder/load_weights.h"

namespace quarot::apps {

namespace {

constexpr int64_t kMaxBatch = 1024;
constexpr int64_t kMaxRuns = 1'000'000;

struct BenchFlags {
    std::string model, shape;
    std::optional<int64_t> n_layers;
    std::vector<int64_t> prompt_tokens = {512}, new_tokens = {128}, depths = {0}, batches = {1};
    int64_t n_runs = 5;
    bool with_16bit = false;
    RecipeFlags recipe;
    MachineFlags machine;
    OutputFlags output;
};

void declare_tests(Args& args, BenchFlags& flags) {
    const auto list = [&args](const char* names, const char* help, int64_t min, int64_t max,
                              std::vector<int64_t>& to) {
        args.add({names, "N,...", help,
                  [&to, min, max](const Given& g) { to = as_integers(g, min, max); },
                  Shown::First});
    };
    list("-p,--prompt-tokens", "tokens of a prompt (pp); 0: none [512]", 0, limits::kPositions,
         flags.prompt_tokens);
    list("-n,--new-tokens", "tokens made one by one (tg); 0: none [128]", 0, limits::kPositions,
         flags.new_tokens);
    list("-d,--depth", "tokens that are in the cache before [0]", 0, limits::kPositions,
         flags.depths);
    list("-b,--batch", "sequences that run at the same time [1]", 1, kMaxBatch, flags.batches);
    args.add({"-r,--runs", "N", "timed runs of each test, after a warm-up [5]",
              [&flags](const Given& g) { flags.n_runs = as_integer(g, 1, kMaxRuns); }});
    args.add({"--with-16bit", "", "the same tests of the shape in 16 bits, and the ratio to them",
              [&flags](const Given&) { flags.with_16bit = true; }});
}

void declare(Args& args, BenchFlags& flags) {
    add_model_flag(args, flags.model);
    args.add({"--shape", "NAME", "random weights of this shape instead, as llama-3-8b",
              [&flags](const Given& g) { flags.shape = g.value; }, Shown::First})
        .likely = bench::shape_names();
    args.add({"--layers", "N", "with --shape: the first N layers only",
              [&flags](const Given& g) { flags.n_layers = as_integer(g, 1, limits::kLayers); }});
    declare_tests(args, flags);
    flags.machine.declare(args);
    flags.recipe.declare(args);
    flags.output.declare(args);
    args.note("Shapes: " + joined(bench::shape_names(), ", ") + ".");
    args.note(
        "A folder runs in the recipe it was made with. --recipe and other flags that change "
        "weights "
        "measure random weights of the folder's shape in that recipe.");
    args.example("quarot bench -m tiny-w4", "prompts of 512 tokens, then 128 tokens one by one");
    args.example("quarot bench --shape tinyllama-1.1b --recipe w4a8kv4",
                 "without any file; weights do not change the speed");
    args.example("quarot bench --shape llama-3-8b --recipe quarot-rtn -p 0 -n 32 -d 0,4096 -b 1,8",
                 "decoding by depth of the context and by sequences at a time");
    args.example("quarot bench --shape llama-2-7b --recipe quarot-rtn --device cuda --with-16bit",
                 "how much faster a GPU is in 4 bits");
    args.example("quarot bench --shape llama-2-70b --recipe quarot-rtn --layers 4 --json",
                 "a part of a model that does not fit, for scripts");
}

// A folder as it is? Else random weights are measured.
bool runs_folder(const BenchFlags& flags) {
    return flags.shape.empty() && flags.recipe.run_time_changes();
}

// What is measured, as the user calls it.
const std::string& subject_of(const BenchFlags& flags) {
    return flags.shape.empty() ? flags.model : flags.shape;
}

void check(const BenchFlags& flags) {
    if (flags.model.empty() && flags.shape.empty()) {
        fail(ErrorCode::Usage, "no model is given; name its folder with -m, or a --shape");
    }
    if (!flags.model.empty() && !flags.shape.empty()) {
        fail(ErrorCode::Usage, "-m {} and --shape {} are given, expected one of them", flags.model,
             flags.shape);
    }
    if (flags.n_layers && runs_folder(flags)) {
        fail(ErrorCode::Usage,
             "--layers is given for the weights of a folder, expected with --shape or --recipe");
    }
}

model::ModelConfig wanted_shape(const BenchFlags& flags) {
    model::ModelConfig config = flags.shape.empty()
                                    ? folder::SourceModel::open(flags.model).config()
                                    : bench::shape_of(flags.shape);
    if (flags.n_layers && *flags.n_layers > config.n_layers) {
        fail(ErrorCode::Usage, "--layers is {}, but {} has {}", *flags.n_layers, subject_of(flags),
             config.n_layers);
    }
    config.n_layers = flags.n_layers.value_or(config.n_layers);
    return config;
}

void require_memory(const model::ModelConfig& config, const Recipe& recipe,
                    const bench::CacheSize& cache, const kernels::Backend& backend,
                    const std::string& name) {
    const MemoryNeed need = bench::memory_need(config, recipe, cache, backend);
    const std::optional<int64_t> available = backend.available_bytes();
    const int64_t bytes =
        checked_add(need.weights, need.kv_cache).value_or(std::numeric_limits<int64_t>::max());
    if (!available || bytes <= *available) return;
    const int64_t fitting = bench::fitting_layers(config, recipe, cache, backend, *available);
    fail(ErrorCode::OutOfMemory,
         "{} needs {} of memory, {} of it for the cache, and {} are available; {}", name,
         human_bytes(bytes), human_bytes(need.kv_cache), human_bytes(*available),
         fitting > 0 ? fmt::format("--layers {} fits", fitting)
                     : "not even one layer fits: use a smaller --depth or --batch");
}

model::Weights random_weights(const BenchFlags& flags, const Recipe& recipe,
                              const bench::CacheSize& cache, kernels::Backend& backend) {
    const std::string& name = subject_of(flags);
    const model::ModelConfig config = wanted_shape(flags);
    require_memory(config, recipe, cache, backend, name);
    log_run(backend, recipe, fmt::format("random weights of the shape {}", name));
    return bench::random_weights(config, recipe, cache.n_positions, name, recipe.rotation.seed,
                                 backend);
}

model::Weights weights_of_folder(const BenchFlags& flags, const bench::CacheSize& cache,
                                 kernels::Backend& backend) {
    const folder::ActivationOverrides changes = flags.recipe.run_time_changes().value();
    const folder::SourceModel source = folder::SourceModel::open(flags.model);
    require_positions(source, "the longest test", cache.n_positions);
    log_run(backend, overridden(source.recipe(), changes));
    model::Weights weights = folder::load_weights(source, changes, cache.n_positions, backend);
    const MemoryNeed need = bench::memory_need(weights.config, weights.recipe, cache, backend);
    require_host_bytes({.kv_cache = need.kv_cache}, backend.available_bytes(),
                       "the cache of --batch and --depth");
    return weights;
}

struct Row {
    bench::SpeedTest test;
    bench::Speed speed;
    std::optional<double> ratio_to_16bit;
};

bench::Speed measure(const bench::SpeedTest& test, int64_t n_runs, const model::Weights& weights,
                     kernels::Backend& backend) {
    runtime::Engine engine(weights, backend, bench::limits_of(test));
    bench::EngineWorkload workload(test, engine);
    const std::vector<double> seconds = bench::time_runs(workload, n_runs, bench::steady_clock());
    return bench::speed_of(seconds, test.n_tokens * test.batch);
}

// Both models in turns, test by test.
std::vector<Row> measure(const std::vector<bench::SpeedTest>& tests, int64_t n_runs,
                         const model::Weights& weights, const model::Weights* in_16bit,
                         kernels::Backend& backend) {
    std::vector<Row> rows;
    for (const bench::SpeedTest& test : tests) {
        Row row = {test, measure(test, n_runs, weights, backend), std::nullopt};
        if (in_16bit != nullptr) {
            row.ratio_to_16bit = row.speed.mean / measure(test, n_runs, *in_16bit, backend).mean;
        }
        rows.push_back(row);
    }
    return rows;
}

std::string table(const std::vector<Row>& rows) {
    std::vector<std::vector<std::string>> cells = {
        {"test", "depth", "batch", "tokens/s", "stddev"}};
    const bool with_ratios = rows.front().ratio_to_16bit.has_value();
    if (with_ratios) cells.front().push_back("x 16 bits");
    for (const Row& row : rows) {
        cells.push_back({row.test.name(), std::to_string(row.test.depth),
                         std::to_string(row.test.batch), fmt::format("{:.2f}", row.speed.mean),
                         fmt::format("{:.2f}", row.speed.stddev)});
        if (with_ratios) cells.back().push_back(fmt::format("{:.2f}", *row.ratio_to_16bit));
    }
    return format_table(cells);
}

io::Json to_json(const Row& row, const BenchFlags& flags, const model::Weights& weights,
                 const kernels::BackendInfo& machine) {
    io::Json json = io::Json::Object{{"test", row.test.name()},
                                     {"depth", row.test.depth},
                                     {"batch", row.test.batch},
                                     {"threads", machine.n_threads},
                                     {"device", machine.name},
                                     {"tier", machine.tier},
                                     {"tokens_per_second", row.speed.mean},
                                     {"stddev", row.speed.stddev},
                                     {"runs", flags.n_runs},
                                     {"model", weights.name},
                                     {"layers", weights.config.n_layers},
                                     {"recipe", weights.recipe.name}};
    if (row.ratio_to_16bit) json.set("ratio_to_16bit", *row.ratio_to_16bit);
    return json;
}

void work(const BenchFlags& flags) {
    flags.output.apply();
    check(flags);
    const std::vector<bench::SpeedTest> tests =
        bench::speed_tests(flags.prompt_tokens, flags.new_tokens, flags.depths, flags.batches);
    if (tests.empty()) {
        fail(ErrorCode::Usage, "--prompt-tokens and --new-tokens are 0, expected a test of either");
    }
    const bench::CacheSize cache = bench::cache_size(tests);
    const auto backend = flags.machine.make_backend();
    const model::Weights weights =
        runs_folder(flags) ? weights_of_folder(flags, cache, *backend)
                           : random_weights(flags, flags.recipe.resolve(true), cache, *backend);
    std::optional<model::Weights> in_16bit;
    if (flags.with_16bit) in_16bit = random_weights(flags, Recipe{}, cache, *backend);
    const std::vector<Row> rows =
        measure(tests, flags.n_runs, weights, in_16bit ? &*in_16bit : nullptr, *backend);
    if (!flags.output.json) return print_result(table(rows));
    io::Json json = json_document("bench");
    io::Json::Array list;
    for (const Row& row : rows) list.push_back(to_json(row, flags, weights, backend->info()));
    json.set("rows", std::move(list));
    print_document(json);
}

}  // namespace

Work bench_command(Args& args) {
    auto flags = std::make_shared<BenchFlags>();
    declare(args, *flags);
    return [flags] { work(*flags); };
}

}  // namespace quarot::apps
