#include "apps/bench_paper.h"

#include <fmt/format.h>

#include <optional>

#include "apps/bench_weights.h"
#include "apps/report.h"
#include "bench/paper_rows.h"
#include "bench/shapes.h"

namespace quarot::apps {

namespace {

// A chip's cache holds the weights of less than two blocks of these sizes.
constexpr int64_t kPaperLayers = 2;

struct ShapeRows {
    std::string shape;
    std::vector<bench::PaperRow> rows;
};

bench::PaperSizes sizes_of(const BenchFlags& flags, const std::string& shape) {
    bench::PaperSizes sizes;
    sizes.shape = shape;
    sizes.batches = given_or(flags.batches, {1, 2, 4, 8, 16, 32, 64});
    sizes.prompt_tokens = given_or(flags.prompt_tokens, {sizes.prompt_tokens}).front();
    sizes.depth = given_or(flags.depths, {sizes.depth}).front();
    sizes.memory_batches = given_or(flags.batches, sizes.memory_batches);
    sizes.memory_depths = given_or(flags.depths, sizes.memory_depths);
    return sizes;
}

ShapeRows measure(const BenchFlags& flags, const std::string& shape, kernels::Backend& backend) {
    const bench::PaperSizes sizes = sizes_of(flags, shape);
    const model::ModelConfig config =
        cut_shape(bench::shape_of(shape), flags.n_layers.value_or(kPaperLayers), shape);
    const bench::CacheSize cache =
        bench::cache_size(bench::paper_steps(sizes, backend.traits().step_tokens));
    const model::Weights quantized =
        make_random_weights(config, flags.recipe.resolve(true), cache, shape, backend);
    const model::Weights dense = make_random_weights(config, Recipe{}, cache, shape, backend);
    return {shape, bench::paper_rows(sizes, dense, quantized, flags.n_runs, backend,
                                     bench::steady_clock())};
}

const char* title_of(std::optional<int> table) {
    switch (table.value_or(0)) {
        case 14:
            return "Table 14: one linear, ms";
        case 15:
            return "Table 15: attention of one token with its cache, ms (the paper's 64 heads "
                   "share no "
                   "keys, those of 70B do)";
        case 16:
            return "Table 16, figure 4: one block takes prompts, ms";
        case 17:
            return "Table 17, figure 4: weights and cache of one block, GB";
        default:
            return "One block makes one token a sequence, ms (not in the paper)";
    }
}

std::string number(std::optional<double> value) {
    return value ? fmt::format("{:.3f}", *value) : "-";
}
std::string ratio(std::optional<double> value) {
    return value ? fmt::format("{:.2f}", *value) : "-";
}

std::optional<double> paper_ratio(const bench::PaperRow& row) {
    if (row.paper_ratio) return row.paper_ratio;
    if (row.paper) return row.paper->dense / row.paper->rotated;
    return std::nullopt;
}

std::vector<std::string> cells_of(const bench::PaperRow& row, const std::string& shape) {
    const auto paper = [&](double bench::PaperTimes::*member) {
        return row.paper ? std::optional((*row.paper).*member) : std::nullopt;
    };
    const bool has_rotated = row.rotated.has_value();
    return {shape + ", " + row.what,
            std::to_string(row.batch),
            std::to_string(row.depth + (row.table == 17 ? 0 : row.tokens)),
            number(row.dense),
            number(row.quantized),
            number(row.rotated),
            ratio(row.ratio()),
            number(paper(&bench::PaperTimes::dense)),
            number(paper(&bench::PaperTimes::quantized)),
            has_rotated ? number(paper(&bench::PaperTimes::rotated)) : "-",
            ratio(paper_ratio(row))};
}

// The rows of one table, of all shapes; nothing where there are none.
std::string table(std::optional<int> wanted, const std::vector<ShapeRows>& all) {
    std::vector<std::vector<std::string>> cells = {{"", "batch", "positions", "16 bits",
                                                    "quantized", "+ Hadamard", "x", "paper 16 bits",
                                                    "4 bits", "+ Hadamard", "x"}};
    for (const ShapeRows& one : all) {
        for (const bench::PaperRow& row : one.rows) {
            if (row.table == wanted) cells.push_back(cells_of(row, one.shape));
        }
    }
    return cells.size() == 1 ? "" : fmt::format("{}\n{}", title_of(wanted), format_table(cells));
}

io::Json to_json(const bench::PaperRow& row, const std::string& shape) {
    io::Json json = io::Json::Object{{"table", row.table ? io::Json(*row.table) : io::Json()},
                                     {"model", shape},
                                     {"row", row.what},
                                     {"batch", row.batch},
                                     {"tokens", row.tokens},
                                     {"depth", row.depth},
                                     {"unit", row.table == 17 ? "GB" : "ms"},
                                     {"in_16bit", row.dense},
                                     {"quantized", row.quantized}};
    if (row.rotated) json.set("rotated", *row.rotated);
    json.set("ratio_to_16bit", row.ratio());
    const std::optional<double> ratio = paper_ratio(row);
    if (!ratio) {
        json.set("paper", io::Json());
        return json;
    }
    io::Json paper = io::Json::Object{{"ratio_to_16bit", *ratio}};
    if (row.paper) {
        paper.set("in_16bit", row.paper->dense);
        paper.set("quantized", row.paper->quantized);
        if (row.rotated) paper.set("rotated", row.paper->rotated);
    }
    json.set("paper", paper);
    return json;
}

}  // namespace

void measure_paper(const BenchFlags& flags) {
    const std::vector<std::string> shapes =
        flags.shape.empty() ? std::vector<std::string>{"llama-2-7b", "llama-2-13b", "llama-2-70b"}
                            : std::vector{flags.shape};
    const auto backend = flags.machine.make_backend();
    std::vector<ShapeRows> all;
    all.reserve(shapes.size());
    for (const std::string& shape : shapes) all.push_back(measure(flags, shape, *backend));
    if (!flags.output.json) {
        std::string text;
        for (const std::optional<int> wanted :
             {std::optional(14), std::optional(15), std::optional(16), std::optional<int>(),
              std::optional(17)}) {
            if (!text.empty()) text += '\n';
            text += table(wanted, all);
        }
        return print_result(text);
    }
    io::Json json = json_document("bench");
    io::Json::Array rows;
    for (const ShapeRows& one : all) {
        for (const bench::PaperRow& row : one.rows) rows.push_back(to_json(row, one.shape));
    }
    json.set("rows", std::move(rows));
    json.set("device", backend->info().name);
    json.set("recipe", flags.recipe.resolve(true).name);
    print_document(json);
}

}  // namespace quarot::apps
