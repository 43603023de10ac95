// The report as JSON, and what both forms of it compute from the results.
#include <fmt/format.h>

#include <algorithm>

#include "core/error.h"
#include "reproduce/report.h"

namespace quarot::reproduce {

namespace {

using io::or_null;

io::Json text_or_null(const std::string& text) {
    return text.empty() ? io::Json() : io::Json(text);
}

void add_measured(io::Json& json, const Measurement& measurement) {
    json.set("bits_per_value", measurement.bits_per_weight);
    json.set("activation_bits_per_value", measurement.bits_per_activation);
    json.set("kv_bits_per_value", measurement.bits_per_kv);
    json.set("tokens_per_second", measurement.tokens_per_second);
    json.set("quantize_seconds", measurement.quantize_seconds);
    json.set("perplexity_seconds", measurement.perplexity_seconds);
    json.set("peak_rss_bytes", or_null(measurement.peak_rss_bytes));
}

void add_unmeasured(io::Json& json) {
    for (const char* key :
         {"bits_per_value", "activation_bits_per_value", "kv_bits_per_value", "tokens_per_second",
          "quantize_seconds", "perplexity_seconds", "peak_rss_bytes"}) {
        json.set(key, io::Json());
    }
}

// task -> its accuracy, beside the paper's; null without tasks.
io::Json accuracies_json(const MeasuredRow& row) {
    if (row.tasks.empty()) return {};
    const PaperAccuracies* const paper = row.plan.paper_accuracies();
    io::Json json = io::Json::Object{};
    for (const TaskScore& score : row.tasks) {
        json.set(score.task, io::Json::Object{{"metric", score.metric},
                                              {"percent", or_null(score.percent)},
                                              {"percent_stderr", or_null(score.percent_error)},
                                              {"n", score.n},
                                              {"paper", or_null(paper_percent(paper, score.task))},
                                              {"reason", text_or_null(score.reason)}});
    }
    return json;
}

io::Json seeds_json(const MeasuredRow& row) {
    io::Json::Array seeds;
    for (const SeedResult& result : row.seeds) {
        seeds.emplace_back(
            io::Json::Object{{"seed", int64_t{result.seed}},
                             {"perplexity", or_null(result.text.perplexity)},
                             {"zero_shot_average", or_null(average_percent(result.tasks))}});
    }
    return seeds;
}

void add_accuracies(io::Json& json, const MeasuredRow& row) {
    const PaperAccuracies* const paper = row.plan.paper_accuracies();
    json.set("zero_shot", accuracies_json(row));
    json.set("zero_shot_average", or_null(average_percent(row.tasks)));
    json.set("zero_shot_average_stddev", or_null(average_deviation(row.seeds)));
    json.set("paper_zero_shot_average", paper == nullptr ? io::Json() : io::Json(paper->average));
}

io::Json row_json(const MeasuredRow& row, const std::optional<double>& full_precision) {
    const PaperRow& paper = row.plan.paper;
    const PaperTable* const table = row.plan.table();
    io::Json json;
    json.set("table", table != nullptr ? io::Json(table->number) : io::Json());
    json.set("beyond", table != nullptr ? io::Json() : io::Json(row.plan.ladder));
    json.set("row", std::string(paper.row));
    json.set("recipe", std::string(paper.recipe));
    json.set("rotate", text_or_null(row.plan.rotate));
    json.set("precision", row.plan.recipe ? io::Json(precision(*row.plan.recipe)) : io::Json());
    json.set("perplexity", or_null(row.perplexity()));
    json.set("perplexity_stddev", or_null(perplexity_deviation(row.seeds)));
    const Measurement* const measured = row.measured();
    json.set("kl", measured != nullptr ? or_null(measured->kl) : io::Json());
    json.set("same_top1", measured != nullptr ? or_null(measured->same_top1) : io::Json());
    json.set("seeds", seeds_json(row));
    json.set("relative", or_null(relative(row.perplexity(), full_precision)));
    json.set("seconds", row.perplexity() ? io::Json(row.seconds()) : io::Json());
    measured != nullptr ? add_measured(json, *measured) : add_unmeasured(json);
    json.set("paper", or_null(row.plan.paper_perplexity()));
    json.set("paper_relative", or_null(row.plan.paper_relative()));
    json.set("paper_model",
             table != nullptr ? io::Json(std::string(table->model->name)) : io::Json());
    add_accuracies(json, row);
    json.set("note", paper.refused ? io::Json() : text_or_null(std::string(paper.note)));
    json.set("reason", text_or_null(row.reason()));
    return json;
}

io::Json names_json(const std::vector<std::string>& names) {
    return io::Json::Array(names.begin(), names.end());
}

io::Json order_json(const MethodOrder& order) {
    io::Json::Array swaps;
    for (const MethodOrder::Swap& swap : order.swaps) {
        swaps.emplace_back(io::Json::Object{{"paper_prefers", swap.paper_prefers.name},
                                            {"we_prefer", swap.we_prefer.name}});
    }
    return io::Json::Object{{"paper", names_json(order.paper)},
                            {"ours", names_json(order.ours)},
                            {"swaps", std::move(swaps)}};
}

io::Json calibration_json(const ReportHeader& header) {
    if (header.calibration.empty()) return {};
    const CalibrationSpec& spec = header.calibration_spec;
    const bool first = spec.windows == CalibrationWindows::First;
    return io::Json::Object{{"file", header.calibration},
                            {"nsamples", spec.n_samples},
                            {"seqlen", spec.seqlen},
                            {"windows", first ? "first" : "random"}};
}

io::Json zero_shot_json(const ReportHeader& header) {
    if (header.data.empty()) return {};
    const int64_t limit = header.task_limit;
    return io::Json::Object{
        {"data", header.data},
        {"limit", limit == 0 ? io::Json() : io::Json(limit)},
        {"missing", io::Json::Array(header.missing_tasks.begin(), header.missing_tasks.end())}};
}

io::Json r1_json(const ReportHeader& header) {
    if (header.r1.empty()) return {};
    return io::Json::Object{{"file", header.r1}, {"sha256", header.r1_sha256}};
}

// The first of these settings that another report has otherwise; empty if none does, or if either
// report has none of them.
std::string other_setting(const std::string& what, const io::Json* there, const io::Json& here,
                          std::initializer_list<const char*> keys) {
    if (there == nullptr || !there->is_object() || !here.is_object()) return "";
    for (const char* key : keys) {
        const std::string old = there->contains(key) ? there->at(key).dump(-1) : "";
        const std::string now = here.at(key).dump(-1);
        if (old.empty() || old == now) continue;
        return fmt::format("{} {} {}, and this run has {}", what, key, old, now);
    }
    return "";
}

// Null where there is none, as in reports of older versions.
std::string text_in(const io::Json& json, const char* key) {
    const io::Json* found = json.find(key);
    return found == nullptr || !found->is_string() ? "" : found->as_string();
}

// 0 where there is none.
int number_in(const io::Json& json, const char* key) {
    const io::Json* found = json.find(key);
    return found == nullptr || found->is_null() ? 0 : static_cast<int>(found->as_int(0, 1000));
}

int64_t count_in(const io::Json& json, const char* key) {
    const io::Json* found = json.find(key);
    return found == nullptr || !found->is_array() ? 0 : std::ssize(found->as_array());
}

// What of an older report's row these rows have not; empty if it is all there.
std::string lost_of(const io::Json& row, const ReportHeader& header,
                    const std::vector<PlannedRow>& rows) {
    PlannedRow old;
    old.paper.table = number_in(row, "table");
    old.ladder = number_in(row, "beyond");
    old.paper.row = row.at("row").as_string();
    old.rotate = text_in(row, "rotate");
    const auto same = std::find_if(rows.begin(), rows.end(), [&](const PlannedRow& plan) {
        return plan.place() == old.place() && plan.label() == old.label();
    });
    if (same == rows.end()) {
        return fmt::format("row {} of {}, which this run leaves out", old.label(), old.place());
    }
    const int64_t n_seeds = count_in(row, "seeds");
    if (n_seeds > std::ssize(same->seeds)) {
        return fmt::format("{} seeds, and this run has {}", n_seeds, same->seeds.size());
    }
    const io::Json* accuracies = row.find("zero_shot");
    if (accuracies != nullptr && accuracies->is_object() && header.data.empty()) {
        return "accuracies, which this run leaves out";
    }
    return "";
}

std::string r1_digest(const io::Json& report_json) {
    const io::Json* r1 = report_json.find("r1");
    return r1 == nullptr || !r1->is_object() ? "" : text_in(*r1, "sha256");
}

}  // namespace

void check_report_grows(const io::Json& report_json, const ReportHeader& header,
                        const std::vector<PlannedRow>& rows) {
    std::string lost =
        other_setting("calibration", report_json.find("calibration"), calibration_json(header),
                      {"file", "nsamples", "seqlen", "windows"});
    if (lost.empty()) {
        lost = other_setting("zero-shot", report_json.find("zero_shot"), zero_shot_json(header),
                             {"data", "limit"});
    }
    const int64_t seed = report_json.at("seed").as_int();
    if (seed != int64_t{header.seed}) {
        lost = fmt::format("seed {}, and this run has {}", seed, header.seed);
    }
    for (const io::Json& row : report_json.at("rows").as_array()) {
        const std::string of_row = lost_of(row, header, rows);
        if (!of_row.empty()) lost = of_row;
    }
    if (r1_digest(report_json) != header.r1_sha256) lost = "another R1";
    if (lost.empty()) return;
    fail(ErrorCode::Usage,
         "the folder for the report holds one with {}; choose another folder, or say that it may "
         "be replaced",
         lost);
}

std::optional<double> relative(std::optional<double> perplexity, std::optional<double> base) {
    if (!perplexity || !base) return std::nullopt;
    return *perplexity / *base;
}

std::string precision(const Recipe& recipe) {
    std::string text = fmt::format("W{}A{}", recipe.weights.bits, recipe.activations.bits);
    text += recipe.k.bits == recipe.v.bits ? fmt::format("KV{}", recipe.k.bits)
                                           : fmt::format("K{}V{}", recipe.k.bits, recipe.v.bits);
    return text;
}

MethodOrder table_1_order(const Results& results) {
    std::vector<Method> methods;
    for (const MeasuredRow& row : results.rows) {
        const PaperRow& paper = row.plan.paper;
        const std::optional<double> of_paper = row.plan.paper_perplexity();
        const Measurement* const measured = row.measured();
        const std::optional<double> perplexity = row.perplexity();
        if (paper.table != 1 || !of_paper || measured == nullptr || !perplexity) continue;
        methods.push_back({row.plan.label(), *of_paper, *perplexity, measured->bits_per_weight,
                           measured->window_nll});
    }
    return compare_orders(methods);
}

void add_report(io::Json& document, const ReportHeader& header, const Results& results) {
    const std::optional<double>& full_precision = results.full_precision.perplexity;
    io::Json::Array rows;
    for (const MeasuredRow& row : results.rows) rows.push_back(row_json(row, full_precision));
    document.set("model", header.model);
    document.set("architecture", header.architecture);
    document.set("weights_on_4_bit_grids", header.on_4_bit_grids);
    document.set("note", text_or_null(header.note));
    document.set("text", header.text);
    document.set("tokens", header.text_tokens);
    document.set("seqlen", header.seqlen);
    document.set("windows", header.windows);
    document.set("calibration", calibration_json(header));
    document.set("seed", int64_t{header.seed});
    document.set("n_seeds", header.n_seeds);
    document.set("r1", r1_json(header));
    document.set("zero_shot", zero_shot_json(header));
    document.set("backend", header.backend);
    document.set("full_precision", or_null(full_precision));
    document.set("rows", std::move(rows));
    document.set("order_of_methods", order_json(table_1_order(results)));
}

}  // namespace quarot::reproduce
