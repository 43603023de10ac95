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
#include "core/process.h"
#include "model/shard.h"

namespace quarot::apps {

namespace {

// Of a recipe made for the group, so that each rank has one block of what spans them.
runtime::ModelGroup random_weights(const BenchFlags& flags, const Recipe& recipe,
                                   const bench::CacheSize& cache) {
    const std::string& name = flags.subject();
    const model::ModelConfig config =
        cut_shape(flags.shape.empty() ? folder::SourceModel::open(flags.model).config()
                                      : bench::shape_of(flags.shape),
                  flags.n_layers, name);
    return make_random_group(config, with_column_blocks(recipe, config, flags.machine.n_ranks),
                             cache, name, flags.machine.make_group());
}

runtime::ModelGroup weights_of_folder(const BenchFlags& flags, const bench::CacheSize& cache) {
    const auto changes = flags.recipe.run_time_changes();
    QUAROT_CHECK(changes.has_value());
    const folder::SourceModel source = folder::SourceModel::open(flags.model);
    require_positions(source, "the longest test", cache.n_positions);
    std::vector<kernels::Rank> group = flags.machine.make_group();
    log_run(group, with_changes(source.recipe(), *changes));
    runtime::ModelGroup model = load_group(std::move(group), source, *changes, cache.n_positions);
    const MemoryNeed need =
        bench::memory_need(model.weights().config, model.weights().recipe, cache, model.backend());
    require_host_bytes({.kv_cache = need.kv_cache}, model.backend().available_bytes(),
                       "the cache of --batch and --depth");
    return model;
}

struct Row {
    bench::SpeedTest test;
    bench::Speed speed;
    std::optional<double> ratio_to_16bit;
};

bench::Speed measure(const bench::SpeedTest& test, int64_t n_runs,
                     const runtime::ModelGroup& model) {
    runtime::Engine engine(model.ranks(), bench::limits_of(test));
    bench::EngineWorkload workload(test, engine);
    const std::vector<double> seconds = bench::time_runs(workload, n_runs, bench::steady_clock());
    return bench::speed_of(seconds, test.n_tokens * test.batch);
}

// Both models in turns, test by test.
std::vector<Row> measure(const std::vector<bench::SpeedTest>& tests, int64_t n_runs,
                         const runtime::ModelGroup& model, const runtime::ModelGroup* in_16bit) {
    std::vector<Row> rows;
    for (const bench::SpeedTest& test : tests) {
        Row row = {test, measure(test, n_runs, model), std::nullopt};
        if (in_16bit != nullptr) {
            row.ratio_to_16bit = row.speed.mean / measure(test, n_runs, *in_16bit).mean;
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

io::Json to_json(const Row& row, const BenchFlags& flags, const runtime::ModelGroup& model) {
    const model::Weights& weights = model.weights();
    const kernels::BackendInfo machine = model.backend().info();
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
    if (weights.shard.size > 1) json.set("ranks", weights.shard.size);
    if (row.ratio_to_16bit) json.set("ratio_to_16bit", *row.ratio_to_16bit);
    return json;
}

// Of a rank: what its cache takes, weights of a shape, and what the whole process took at its peak.
io::Json memory_to_json(const BenchFlags& flags, const bench::CacheSize& cache,
                        const runtime::ModelGroup& model) {
    const model::Weights& weights = model.weights();
    const MemoryNeed need =
        bench::memory_need(weights.config, weights.recipe, cache, model.backend());
    io::Json json =
        io::Json::Object{{"kv_cache_bytes", need.kv_cache}, {"peak_rss_bytes", peak_rss_bytes()}};
    if (!flags.runs_folder()) json.set("weights_bytes", need.weights);
    return json;
}

void measure_speed(const BenchFlags& flags) {
    const std::vector<bench::SpeedTest> tests = flags.tests();
    const bench::CacheSize cache = bench::cache_size(tests);
    const runtime::ModelGroup model =
        flags.runs_folder() ? weights_of_folder(flags, cache)
                            : random_weights(flags, flags.recipe.resolve(true), cache);
    std::optional<runtime::ModelGroup> in_16bit;
    if (flags.with_16bit) in_16bit = random_weights(flags, Recipe{}, cache);
    const std::vector<Row> rows =
        measure(tests, flags.n_runs, model, in_16bit ? &*in_16bit : nullptr);
    if (!flags.output.json) return print_result(table(rows));
    io::Json json = json_document("bench");
    io::Json::Array list;
    for (const Row& row : rows) list.push_back(to_json(row, flags, model));
    json.set("rows", std::move(list));
    json.set("memory", memory_to_json(flags, cache, model));
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
