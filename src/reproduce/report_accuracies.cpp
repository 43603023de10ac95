// What all forms of the report say of accuracies.
#include <fmt/format.h>

#include <algorithm>

#include "reproduce/report.h"

namespace quarot::reproduce {

namespace {

struct ShortName {
    std::string_view task, name;
};

constexpr ShortName kShortNames[] = {{"piqa", "PQ"},           {"winogrande", "WG"},
                                     {"hellaswag", "HS"},      {"arc_easy", "A-e"},
                                     {"arc_challenge", "A-c"}, {"lambada_openai", "LA"}};

}  // namespace

std::string_view short_name(std::string_view task) {
    for (const ShortName& known : kShortNames) {
        if (known.task == task) return known.name;
    }
    return task;
}

std::optional<double> paper_percent(const PaperAccuracies* paper, std::string_view task) {
    if (paper == nullptr) return std::nullopt;
    const auto tasks = eval::tasks();
    for (size_t i = 0; i < tasks.size(); ++i) {
        if (tasks[i].name == task) return paper->percents.at(i);
    }
    return std::nullopt;
}

std::vector<std::string> notes_of_accuracies(const ReportHeader& header, const Results& results) {
    const bool belong =
        std::any_of(results.rows.begin(), results.rows.end(),
                    [](const MeasuredRow& row) { return row.plan.has_zero_shot(); });
    if (!belong) return {};
    if (header.data.empty()) {
        return {"No folder of zero-shot tasks is given, so accuracies are left out."};
    }
    std::vector<std::string> notes;
    notes.reserve(header.missing_tasks.size());
    for (const std::string& reason : header.missing_tasks) {
        notes.push_back("Left out, and so is the average: " + reason);
    }
    return notes;
}

}  // namespace quarot::reproduce
