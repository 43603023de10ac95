#include "apps/bench_operations.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "apps/bench_weights.h"
#include "apps/report.h"
#include "apps/running_model.h"
#include "bench/operation.h"
#include "bench/sample_step.h"
#include "bench/shapes.h"
#include "core/error.h"
#include "core/log.h"
#include "folder/source_model.h"

namespace quarot::apps {

namespace {

// Enough for the weights of one operation to leave a chip's caches before they come again.
constexpr int64_t kTimedLayers = 16;
constexpr int64_t kCopyBytes = int64_t{256} << 20;

struct OperationRow {
    bench::StepShape step;
    bench::OperationCost cost;
    double seconds = 0.0;
    std::optional<double> seconds_16bit = {}, seconds_fp8 = {};

    double share_of(double copy_speed) const { return cost.bytes / seconds / copy_speed; }
};

struct Subject {
    model::ModelConfig config;
    Recipe recipe;
};

Subject subject_of(const BenchFlags& flags) {
    Subject subject;
    if (flags.shape.empty()) {
        const folder::SourceModel source = folder::SourceModel::open(flags.model);
        subject.config = source.config();
        subject.recipe = source.recipe();
    } else {
        subject.config = bench::shape_of(flags.shape);
    }
    const auto changes = flags.recipe.run_time_changes();
    subject.recipe = flags.shape.empty() && changes ? with_changes(subject.recipe, *changes)
                                                    : flags.recipe.resolve(true);
    const int64_t n_layers =
        flags.n_layers.value_or(std::min(kTimedLayers, subject.config.n_layers));
    subject.config = cut_shape(subject.config, n_layers, flags.subject());
    return subject;
}

std::vector<OperationRow> measure(const bench::StepShape& shape, const model::Weights& weights,
                                  int64_t n_runs, kernels::Backend& backend) {
    bench::SampleStep step(weights, shape, backend);
    std::vector<OperationRow> rows;
    for (const bench::Operation& operation : bench::operations_of(step)) {
        const double seconds = bench::seconds_of(operation.enqueue, weights.config.n_layers, n_runs,
                                                 backend, bench::steady_clock());
        rows.push_back({shape, operation.cost, seconds});
    }
    return rows;
}

// Where the same is done in 16 bits, how long that takes.
void set_beside(std::vector<OperationRow>& rows, const std::vector<OperationRow>& in_16bit) {
    for (OperationRow& row : rows) {
        for (const OperationRow& other : in_16bit) {
            if (other.cost.name == row.cost.name) row.seconds_16bit = other.seconds;
        }
    }
}

// Where the machine has products in fp8, how long those take.
void set_fp8_beside(std::vector<OperationRow>& rows, int64_t n_runs, kernels::Backend& backend) {
    for (OperationRow& row : rows) {
        if (!row.cost.product) continue;
        try {
            row.seconds_fp8 =
                bench::fp8_seconds_of(*row.cost.product, n_runs, backend, bench::steady_clock());
        } catch (const Error& error) {
            if (error.code() != ErrorCode::OutOfMemory) throw;
            log_info("no fp8 beside {}: {}", row.cost.name, error.what());
        }
    }
}

std::string table(const std::vector<OperationRow>& rows, double copy_speed) {
    std::vector<std::vector<std::string>> cells = {{"operation", "tokens", "depth", "columns", "us",
                                                    "TOP/s", "GB/s", "of copy", "16 bits us",
                                                    "x 16 bits", "fp8 us", "x fp8"}};
    const auto number = [](double value) { return fmt::format("{:.2f}", value); };
    for (const OperationRow& row : rows) {
        const bench::OperationCost& cost = row.cost;
        const auto us = [&](const auto& other) { return other ? number(1e6 * *other) : "-"; };
        const auto ratio = [&](const auto& other) {
            return other ? number(*other / row.seconds) : "-";
        };
        cells.push_back({cost.name, std::to_string(row.step.rows()), std::to_string(row.step.depth),
                         cost.shape, number(1e6 * row.seconds),
                         cost.computed > 0.0 ? number(1e-12 * cost.computed / row.seconds) : "-",
                         fmt::format("{:.0f}", 1e-9 * cost.bytes / row.seconds),
                         fmt::format("{:.0f} %", 100.0 * row.share_of(copy_speed)),
                         us(row.seconds_16bit), ratio(row.seconds_16bit), us(row.seconds_fp8),
                         ratio(row.seconds_fp8)});
    }
    return fmt::format("copy: {:.0f} GB/s read and written\n", 1e-9 * copy_speed) +
           format_table(cells);
}

io::Json to_json(const OperationRow& row, double copy_speed, const model::Weights& weights,
                 const kernels::BackendInfo& machine) {
    io::Json json = io::Json::Object{{"operation", row.cost.name},
                                     {"shape", row.cost.shape},
                                     {"tokens", row.step.rows()},
                                     {"batch", row.step.sequences},
                                     {"depth", row.step.depth},
                                     {"threads", machine.n_threads},
                                     {"device", machine.name},
                                     {"tier", machine.tier},
                                     {"model", weights.name},
                                     {"recipe", weights.recipe.name},
                                     {"seconds", row.seconds},
                                     {"operations_per_second", row.cost.computed / row.seconds},
                                     {"bytes_per_second", row.cost.bytes / row.seconds},
                                     {"share_of_copy", row.share_of(copy_speed)}};
    if (row.seconds_16bit) {
        json.set("seconds_16bit", *row.seconds_16bit);
        json.set("ratio_to_16bit", *row.seconds_16bit / row.seconds);
    }
    if (row.seconds_fp8) {
        json.set("seconds_fp8", *row.seconds_fp8);
        json.set("ratio_to_fp8", *row.seconds_fp8 / row.seconds);
    }
    return json;
}

}  // namespace

void measure_operations(const BenchFlags& flags) {
    const std::vector<bench::SpeedTest> tests = flags.tests();
    const Subject subject = subject_of(flags);
    const auto backend = flags.machine.make_backend();
    const auto steps = bench::steps_of(tests, backend->traits().step_tokens);
    const bench::CacheSize cache = bench::cache_size(steps);
    const double copy_speed =
        bench::copy_speed(kCopyBytes, flags.n_runs, *backend, bench::steady_clock());
    const std::string& name = flags.subject();
    const model::Weights weights =
        make_random_weights(subject.config, subject.recipe, cache, name, *backend);
    const model::Weights in_16bit =
        make_random_weights(subject.config, Recipe{}, cache, name, *backend);
    std::vector<OperationRow> rows;
    for (const bench::StepShape& step : steps) {
        std::vector<OperationRow> of_step = measure(step, weights, flags.n_runs, *backend);
        set_beside(of_step, measure(step, in_16bit, flags.n_runs, *backend));
        set_fp8_beside(of_step, flags.n_runs, *backend);
        rows.insert(rows.end(), of_step.begin(), of_step.end());
    }
    if (!flags.output.json) return print_result(table(rows, copy_speed));
    io::Json json = json_document("bench");
    json.set("probes", io::Json::Object{{"copy_bytes_per_second", copy_speed}});
    io::Json::Array list;
    for (const OperationRow& row : rows) {
        list.push_back(to_json(row, copy_speed, weights, backend->info()));
    }
    json.set("operations", std::move(list));
    print_document(json);
}

}  // namespace quarot::apps
