// quarot bench: how many tokens a second a model runs, a folder's or random weights of a shape.
#include <fmt/format.h>

#include <memory>
#include <optional>

#include "apps/bench_flags.h"
#include "apps/bench_operations.h"
#include "apps/bench_paper.h"
#include "apps/bench_weights.h"
#include "apps/commands.h"
#include "apps/report.h"
#include "apps/running_model.h"
#include "bench/engine_workload.h"
#include "bench/random_weights.h"
#include "bench/shapes.h"
#include "bench/speed_test.h"
#include "core/check.h"
#include "core/host_memory.h"
#include "folder/load_weights.h"

namespace quarot::apps {

namespace {

model::Weights random_weights(const BenchFlags& flags, const Recipe& recipe,
                              const bench::CacheSize& cache, kernels::Backend& backend) {
    const std::string& name = flags.subject();
    const model::ModelConfig config = flags.shape.empty()
                                          ? folder::SourceModel::open(flags.model).config()
                                          : bench::shape_of(flags.shape);
    return make_random_weights(cut_shape(config, flags.n_layers, name), recipe, cache, name,
                               backend);
}

model::Weights weights_of_folder(const BenchFlags& flags, const bench::CacheSize& cache,
                                 kernels::Backend& backend) {
    const auto changes = flags.recipe.run_time_changes();
    QUAROT_CHECK(changes.has_value());
    const folder::SourceModel source = folder::SourceModel::open(flags.model);
    require_positions(source, "the longest test", cache.n_positions);
    log_run(backend, with_changes(source.recipe(), *changes));
    model::Weights weights = folder::load_weights(source, *changes, cache.n_positions, backend);
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
        if (row.ratio_to_16bit) {
            cells.back().push_back(fmt::format("{:.2f}", *row.ratio_to_16bit));
        }
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

void measure_speed(const BenchFlags& flags) {
    const std::vector<bench::SpeedTest> tests = flags.tests();
    const bench::CacheSize cache = bench::cache_size(tests);
    const auto backend = flags.machine.make_backend();
    const model::Weights weights =
        flags.runs_folder() ? weights_of_folder(flags, cache, *backend)
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

void work(const BenchFlags& flags) {
    flags.output.apply();
    flags.check();
    if (flags.operations) return measure_operations(flags);
    if (flags.paper) return measure_paper(flags);
    measure_speed(flags);
}

}  // namespace

Work bench_command(Args& args) {
    auto flags = std::make_shared<BenchFlags>();
    flags->declare(args);
    return [flags] { work(*flags); };
}

}  // namespace quarot::apps
