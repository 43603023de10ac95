#include "eval/item_log.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "core/error.h"
#include "io/json.h"
#include "io/output_file.h"

namespace quarot::eval {

namespace {

using io::Json;
using io::or_null;
using Prediction = std::optional<int64_t> ItemResult::*;

std::string line_of(const std::string& task, int64_t index, const ItemResult& item) {
    Json json = Json::Object{
        {"task", task},
        {"index", index},
        {"loglikelihoods", Json::Array(item.loglikelihoods.begin(), item.loglikelihoods.end())},
        {"prediction", or_null(item.prediction)}};
    if (item.prediction_norm) json.set("prediction_norm", *item.prediction_norm);
    json.set("gold", item.gold);
    json.set("item", item.digest);
    return json.dump(-1) + "\n";
}

std::optional<int64_t> index_at(const Json& json, std::string_view key, size_t n) {
    const Json* value = json.find(key);
    if (value == nullptr) return std::nullopt;
    return value->as_int(0, static_cast<int64_t>(n) - 1);
}

ItemResult item_in(const Json& json) {
    ItemResult item;
    for (const Json& value : json.at("loglikelihoods").as_array()) {
        item.loglikelihoods.push_back(value.as_double());
    }
    const size_t n = item.loglikelihoods.size();
    json.at("prediction");
    item.prediction = index_at(json, "prediction", n);
    item.prediction_norm = index_at(json, "prediction_norm", n);
    item.gold = json.at("gold").as_int(0, static_cast<int64_t>(n) - 1);
    item.digest = json.at("item").as_string();
    return item;
}

MeasureChange change_of(const std::vector<std::pair<LoggedItem, LoggedItem>>& both,
                        Prediction prediction) {
    MeasureChange change;
    for (const auto& [a, b] : both) {
        const bool a_right = a.result.*prediction == a.result.gold;
        const bool b_right = b.result.*prediction == b.result.gold;
        change.a += a_right ? 1.0 : 0.0;
        change.b += b_right ? 1.0 : 0.0;
        change.a_alone += a_right && !b_right ? 1 : 0;
        change.b_alone += b_right && !a_right ? 1 : 0;
        if (a.result.*prediction != b.result.*prediction) change.changed.push_back(a.index);
    }
    change.a /= static_cast<double>(both.size());
    change.b /= static_cast<double>(both.size());
    change.p_value = mcnemar(change.a_alone, change.b_alone);
    return change;
}

double mean_change(const std::vector<std::pair<LoggedItem, LoggedItem>>& both) {
    double sum = 0.0;
    int64_t n = 0;
    for (const auto& [a, b] : both) {
        for (size_t i = 0; i < a.result.loglikelihoods.size(); ++i, ++n) {
            sum += std::abs(b.result.loglikelihoods[i] - a.result.loglikelihoods[i]);
        }
    }
    return sum / static_cast<double>(n);
}

bool same_item(const ItemResult& a, const ItemResult& b) {
    return a.digest == b.digest && a.gold == b.gold &&
           a.loglikelihoods.size() == b.loglikelihoods.size() &&
           a.prediction_norm.has_value() == b.prediction_norm.has_value();
}

// Nothing if they have no item in common.
std::optional<TaskComparison> compare(const LoggedTask& a, const LoggedTask& b,
                                      const std::string& names) {
    std::map<int64_t, LoggedItem> of_b;
    for (const LoggedItem& item : b.items) of_b.emplace(item.index, item);
    std::vector<std::pair<LoggedItem, LoggedItem>> both;
    for (const LoggedItem& item : a.items) {
        const auto found = of_b.find(item.index);
        if (found == of_b.end()) continue;
        if (!same_item(item.result, found->second.result)) {
            fail(ErrorCode::Usage,
                 "{}: item {} of {} is not the same in both, expected runs over "
                 "one data set",
                 names, item.index, a.task);
        }
        both.emplace_back(item, found->second);
    }
    if (both.empty()) return std::nullopt;
    const int64_t n = std::ssize(both);
    TaskComparison result = {.task = a.task,
                             .n = n,
                             .n_single = std::ssize(a.items) + std::ssize(b.items) - 2 * n,
                             .acc = change_of(both, &ItemResult::prediction),
                             .acc_norm = std::nullopt,
                             .mean_loglikelihood_change = mean_change(both)};
    if (both.front().first.result.prediction_norm) {
        result.acc_norm = change_of(both, &ItemResult::prediction_norm);
    }
    return result;
}

}  // namespace

void write_item_log(const std::string& path, std::span<const TaskResult> results) {
    const std::string temporary = io::temporary_sibling(path, io::kUnfinishedFile);
    io::OutputFile file(temporary);
    int64_t at = 0;
    for (const TaskResult& result : results) {
        std::string lines;
        for (size_t i = 0; i < result.items.size(); ++i) {
            lines += line_of(result.task, static_cast<int64_t>(i), result.items[i]);
        }
        file.write(at, std::as_bytes(std::span(lines)));
        at += std::ssize(lines);
    }
    file.finish();
    io::move_into_place(temporary, path);
}

std::vector<LoggedTask> read_item_log(const std::string& path) {
    std::vector<LoggedTask> logged;
    std::map<std::string, size_t> place;
    for (const Json& json : read_json_lines(path)) {
        const std::string& task = json.at("task").as_string();
        const auto [found, is_new] = place.emplace(task, logged.size());
        if (is_new) logged.push_back({task, {}});
        std::vector<LoggedItem>& items = logged[found->second].items;
        const Json& index = json.at("index");
        items.push_back({index.as_int(0, int64_t{1} << 40), item_in(json)});
        if (items.size() > 1 && items.back().index <= items[items.size() - 2].index) {
            fail(ErrorCode::Corrupt, "{} is {}, expected more than {}, the item before",
                 index.place(), items.back().index, items[items.size() - 2].index);
        }
    }
    return logged;
}

std::vector<TaskComparison> compare(const std::string& a, const std::string& b) {
    const std::vector<LoggedTask> of_a = read_item_log(a), of_b = read_item_log(b);
    const std::string names = fmt::format("{} and {}", a, b);
    std::vector<TaskComparison> list;
    for (const LoggedTask& task : of_a) {
        for (const LoggedTask& other : of_b) {
            if (task.task != other.task) continue;
            if (auto both = compare(task, other, names)) list.push_back(std::move(*both));
        }
    }
    if (list.empty()) fail(ErrorCode::Usage, "{} have no item in common", names);
    return list;
}

}  // namespace quarot::eval
