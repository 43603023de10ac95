// The report as JSON, and what both forms of it compute from the results.
#include <fmt/format.h>

#include <algorithm>

#include "core/error.h"
#include "reproduce/report.h"

namespace quarot::reproduce {

namespace {

template <typename T>
io::Json or_null(const std::optional<T>& value) {
    return value ? io::Json(*value) : io::Json();
}

io::Json text_or_null(const std::string& text) {
    return text.empty() ? io::Json() : io::Json(text);
}

void add_measured(io::Json& json, const Measurement& measurement) {
    json.set("bits_per_value", measurement.bits_per_weight);
    json.set("activation_bits_per_value", measurement.bits_per_activation);
    json.set("kv_bits_per_value", measurement.bits_per_kv);
    json.set("seconds", measurement.seconds());
    json.set("quantize_seconds", measurement.quantize_seconds);
    json.set("perplexity_seconds", measurement.perplexity_seconds);
    json.set("peak_rss_bytes", or_null(measurement.peak_rss_bytes));
}

void add_unmeasured(io::Json& json) {
    for (const char* key :
         {"bits_per_value", "activation_bits_per_value", "kv_bits_per_value", "seconds",
          "quantize_seconds", "perplexity_seconds", "peak_rss_bytes"}) {
        json.set(key, io::Json());
    }
}

io::Json row_json(const MeasuredRow& row, const std::optional<double>& full_precision) {
    const PaperRow& paper = row.plan.paper;
    io::Json json;
    json.set("table", paper.table);
    json.set("row", std::string(paper.row));
    json.set("recipe", std::string(paper.recipe));
    json.set("precision", row.plan.recipe ? io::Json(precision(*row.plan.recipe)) : io::Json());
    json.set("perplexity", or_null(row.perplexity()));
    json.set("relative", or_null(relative(row.perplexity(), full_precision)));
    row.perplexity() ? add_measured(json, *row.measurement) : add_unmeasured(json);
    json.set("paper", or_null(paper.paper));
    json.set("paper_relative", or_null(relative(paper.paper, kPaperFullPrecision)));
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

// The first setting of the calibration that another report has otherwise; empty if none does.
std::string other_calibration(const io::Json& there, const io::Json& here) {
    if (!there.is_object() || !here.is_object()) return "";  // either needs no text
    for (const auto& [key, value] : here.as_object()) {
        const io::Json* old = there.find(key);
        if (old == nullptr || old->dump(-1) == value.dump(-1)) continue;
        return fmt::format("calibration {} {}, and this run has {}", key, old->dump(-1),
                           value.dump(-1));
    }
    return "";
}

}  // namespace

void check_report_grows(const io::Json& report_json, const ReportHeader& header,
                        const std::vector<PlannedRow>& rows) {
    std::string lost = other_calibration(report_json.at("calibration"), calibration_json(header));
    const int64_t seed = report_json.at("seed").as_int();
    if (seed != int64_t{header.seed}) {
        lost = fmt::format("seed {}, and this run has {}", seed, header.seed);
    }
    for (const io::Json& row : report_json.at("rows").as_array()) {
        const bool is_planned = std::any_of(rows.begin(), rows.end(), [&](const PlannedRow& plan) {
            return plan.paper.table == row.at("table").as_int() &&
                   plan.paper.row == row.at("row").as_string();
        });
        if (!is_planned) {
            lost = fmt::format("table {}, which this run leaves out", row.at("table").as_int());
        }
    }
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
        if (paper.table != 1 || !paper.paper || !row.perplexity()) continue;
        methods.push_back({std::string(paper.row), *paper.paper, *row.perplexity(),
                           row.measurement->bits_per_weight, row.measurement->window_nll});
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
    document.set("backend", header.backend);
    document.set("full_precision", or_null(full_precision));
    document.set("rows", std::move(rows));
    document.set("order_of_methods", order_json(table_1_order(results)));
}

}  // namespace quarot::reproduce
