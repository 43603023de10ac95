#include "apps/eval_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "apps/report.h"

namespace quarot::apps {

namespace {

using eval::MeasureChange;
using eval::TaskComparison;
using eval::TaskResult;

io::Json error_to_json(const eval::Mean& mean) {
    return mean.standard_error ? io::Json(*mean.standard_error) : io::Json();
}

// "0.6812 +- 0.0109"; empty for a measure that the task lacks.
std::string with_error_or_nothing(const std::optional<eval::Mean>& mean) {
    if (!mean) return "";
    const std::string value = fmt::format("{:.4f}", mean->value);
    return mean->standard_error ? fmt::format("{} +- {:.4f}", value, *mean->standard_error) : value;
}

io::Json change_to_json(const MeasureChange& change) {
    return io::Json::Object{
        {"a", change.a},
        {"b", change.b},
        {"only_a_right", change.a_alone},
        {"only_b_right", change.b_alone},
        {"p_value", change.p_value},
        {"changed", io::Json::Array(change.changed.begin(), change.changed.end())}};
}

std::vector<std::string> change_row(const TaskComparison& task, const std::string& measure,
                                    const MeasureChange& change) {
    return {fmt::format("{} {}", task.task, measure),
            fmt::format("{}", task.n),
            fmt::format("{:.4f}", change.a),
            fmt::format("{:.4f}", change.b),
            fmt::format("{:+.4f}", change.b - change.a),
            fmt::format("{}", change.changed.size()),
            fmt::format("{}", change.a_alone),
            fmt::format("{}", change.b_alone),
            fmt::format("{:.3g}", change.p_value)};
}

}  // namespace

std::string results_table(std::span<const TaskResult> results) {
    std::vector<std::vector<std::string>> rows = {{"task", "items", "acc", "acc_norm"}};
    const bool has_perplexity = std::ranges::any_of(
        results, [](const TaskResult& result) { return result.perplexity.has_value(); });
    if (has_perplexity) rows.front().push_back("perplexity");
    for (const TaskResult& result : results) {
        rows.push_back({result.task, fmt::format("{}", result.items.size()),
                        with_error_or_nothing(result.acc), with_error_or_nothing(result.acc_norm)});
        if (has_perplexity) rows.back().push_back(with_error_or_nothing(result.perplexity));
    }
    return format_table(rows);
}

io::Json results_to_json(std::span<const TaskResult> results) {
    io::Json json = io::Json::Object{};
    for (const TaskResult& result : results) {
        io::Json task = io::Json::Object{};
        const auto set = [&](const std::string& name, const eval::Mean& mean) {
            task.set(name, mean.value);
            task.set(name + "_stderr", error_to_json(mean));
        };
        set("acc", result.acc);
        if (result.acc_norm) set("acc_norm", *result.acc_norm);
        if (result.perplexity) set("perplexity", *result.perplexity);
        task.set("n", std::ssize(result.items));
        task.set("cut_requests", result.n_cut);
        json.set(result.task, std::move(task));
    }
    return json;
}

std::string comparison_table(std::span<const TaskComparison> comparison) {
    std::vector<std::vector<std::string>> rows = {
        {"task", "items", "A", "B", "B - A", "changed", "only A right", "only B right", "p"}};
    for (const TaskComparison& task : comparison) {
        rows.push_back(change_row(task, "acc", task.acc));
        if (task.acc_norm) rows.push_back(change_row(task, "acc_norm", *task.acc_norm));
    }
    return format_table(rows);
}

io::Json comparison_to_json(std::span<const TaskComparison> comparison) {
    io::Json json = io::Json::Object{};
    for (const TaskComparison& task : comparison) {
        io::Json entry = io::Json::Object{};
        entry.set("n", task.n);
        entry.set("items_of_one_run", task.n_single);
        entry.set("mean_loglikelihood_change", task.mean_loglikelihood_change);
        entry.set("acc", change_to_json(task.acc));
        if (task.acc_norm) entry.set("acc_norm", change_to_json(*task.acc_norm));
        json.set(task.task, std::move(entry));
    }
    return json;
}

}  // namespace quarot::apps
