// The report as Markdown: one table for each of the paper's.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "io/text.h"
#include "reproduce/report.h"

namespace quarot::reproduce {

namespace {

constexpr const char* kNothing = "–";
constexpr size_t kLongestReason = 400;

std::string number(std::optional<double> value, int digits) {
    return value ? fmt::format("{:.{}f}", *value, digits) : kNothing;
}

// "30.1234 ± 0.0567"
std::string with_spread(std::optional<double> value, std::optional<double> spread, int digits) {
    const std::string text = number(value, digits);
    return value && spread ? fmt::format("{} ± {:.{}f}", text, *spread, digits) : text;
}

std::string megabytes(const std::optional<int64_t>& bytes) {
    return bytes ? fmt::format("{:.0f} MB", static_cast<double>(*bytes) / 1e6) : kNothing;
}

std::string joined(const std::vector<std::string>& names) {
    std::string text;
    for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
    return text;
}

constexpr const char* kGridRemark =
    "* The model's weights come from 4-bit codes: nearly every group of 32 of them holds at most "
    "16 different values. Quantizers that leave the weights unrotated, group-wise ones most of "
    "all, can meet such a grid nearly exactly and look better here than on other models.\n";

const char* kAccuracyLegend =
    "Accuracies are those of lm-evaluation-harness's zero-shot tasks in per cent, by characters "
    "(acc_norm) where a task has that, with the standard error of its items; in brackets the "
    "paper's. The average is the plain mean; a spread of it is that of the seeds.\n\n";

std::string seeds_text(const ReportHeader& header) {
    if (header.n_seeds == 1) return fmt::format("seed {}", header.seed);
    return fmt::format("{} seeds from {} on where they matter, with means and standard deviations",
                       header.n_seeds, header.seed);
}

std::string header_lines(const ReportHeader& header) {
    std::string text = fmt::format("# The paper's tables on {}\n\n", io::printable(header.model));
    if (!header.note.empty()) text += header.note + "\n\n";
    text += fmt::format("* Model: {} ({})\n", io::printable(header.model), header.architecture);
    if (header.on_4_bit_grids) text += kGridRemark;
    text += fmt::format(
        "* Text: {}, {} tokens; {} windows of {} tokens, all but the first of each "
        "predicted\n",
        io::printable(header.text), header.text_tokens, header.windows, header.seqlen);
    if (!header.calibration.empty()) {
        const CalibrationSpec& spec = header.calibration_spec;
        const bool first = spec.windows == CalibrationWindows::First;
        text += fmt::format("* Calibration: {}, {} windows of {} tokens, {}\n",
                            io::printable(header.calibration), spec.n_samples, spec.seqlen,
                            first ? "its first" : "drawn at random");
    }
    if (!header.data.empty()) {
        text += fmt::format("* Zero-shot tasks: {}, {}\n", io::printable(header.data),
                            header.task_limit == 0
                                ? "all items"
                                : fmt::format("the first {} items of each", header.task_limit));
    }
    if (!header.r1.empty()) {
        text += fmt::format("* R1, where it would be a Hadamard: {}\n", io::printable(header.r1));
    }
    text += fmt::format("* quarot {}, backend {}, {}\n\n", header.version, header.backend,
                        seeds_text(header));
    return text;
}

const char* kLegend =
    "The paper's numbers are those of Llama-2-7B on WikiText-2 (of another model where a table's "
    "title says so), for orientation: another model and perhaps another text. Columns \"× full\" "
    "divide a perplexity by full precision's of the same model. Bits count scales, zero points and "
    "outliers: of a quantized weight, of a value that enters a linear layer, and of a value in the "
    "cache; 16 means not quantized. Seconds are those of quantizing the weights and measuring, on "
    "whatever else the machine did; rows with equal weights share the former.\n\n";

std::string table_row(const MeasuredRow& row, const std::optional<double>& full_precision) {
    const PaperRow& paper = row.plan.paper;
    const std::optional<double> of_paper = row.plan.paper_perplexity();
    std::string text = fmt::format("| {} | `{}` | ", row.plan.label(), paper.recipe);
    const Measurement* const measured = row.measured();
    if (measured != nullptr && row.plan.recipe) {
        const Measurement& m = *measured;
        text +=
            fmt::format("{} | {:.2f} | {:.2f} | {:.2f} | {} | {} | ", precision(*row.plan.recipe),
                        m.bits_per_weight, m.bits_per_activation, m.bits_per_kv,
                        with_spread(m.perplexity, perplexity_deviation(row.seeds), 4),
                        number(relative(m.perplexity, full_precision), 3));
    } else {
        text += fmt::format("{0} | {0} | {0} | {0} | not available | {0} | ", kNothing);
    }
    text += fmt::format("{} | {} | ", number(of_paper, paper.table == 5 ? 3 : 2),
                        number(row.plan.paper_relative(), 3));
    if (measured == nullptr) return text + fmt::format("{0} | {0} |\n", kNothing);
    return text +
           fmt::format("{:.1f} | {} |\n", row.seconds(), megabytes(measured->peak_rss_bytes));
}

std::string table_notes(const std::vector<const MeasuredRow*>& rows) {
    std::string text;
    for (const MeasuredRow* row : rows) {
        const PaperRow& paper = row->plan.paper;
        if (!row->perplexity()) {
            text += fmt::format("* {}: not available: {}\n", row->plan.label(),
                                io::printable(row->reason(), kLongestReason));
        }
        if (!paper.note.empty() && !paper.refused && row->plan.is_papers) {
            text += fmt::format("* {}: {}\n", paper.row, paper.note);
        }
    }
    return text.empty() ? text : text + "\n";
}

std::string of_another_model(const PaperTable& table) {
    if (table.model == paper_tables().front().model) return "";
    return fmt::format(" (the paper's model: {})", table.model->name);
}

std::string heading(const PaperTable& table) {
    return fmt::format("Table {}: {}{}", table.number, table.title, of_another_model(table));
}

// "61.23 ± 1.05 (76.77)": ours, its standard error, the paper's.
std::string accuracy_cell(const TaskScore& score, std::optional<double> paper) {
    const std::string ours = with_spread(score.percent, score.percent_error, 2);
    return paper ? fmt::format("{} ({:.2f})", ours, *paper) : ours;
}

std::string average_cell(const MeasuredRow& row, const PaperAccuracies* paper) {
    const std::string ours =
        with_spread(average_percent(row.tasks), average_deviation(row.seeds), 2);
    return paper != nullptr ? fmt::format("{} ({:.2f})", ours, paper->average) : ours;
}

// Nothing without accuracies.
std::string accuracy_table(const std::vector<const MeasuredRow*>& rows) {
    const auto with_tasks = std::find_if(
        rows.begin(), rows.end(), [](const MeasuredRow* row) { return !row->tasks.empty(); });
    if (with_tasks == rows.end()) return "";
    std::string text = "Zero-shot accuracy, per cent:\n\n| row |", line = "|---|";
    for (const TaskScore& score : (*with_tasks)->tasks) {
        text += fmt::format(" {} |", score.task);
        line += "---:|";
    }
    text += " average |\n" + line + "---:|\n";
    for (const MeasuredRow* row : rows) {
        if (row->tasks.empty()) continue;
        const PaperAccuracies* const paper = row->plan.paper_accuracies();
        text += fmt::format("| {} |", row->plan.label());
        for (const TaskScore& score : row->tasks) {
            text += fmt::format(" {} |", accuracy_cell(score, paper_percent(paper, score.task)));
        }
        text += fmt::format(" {} |\n", average_cell(*row, paper));
    }
    return text + "\n";
}

// ln of the perplexity over full precision's.
std::optional<double> loss(const std::optional<double>& perplexity,
                           const std::optional<double>& full_precision) {
    const std::optional<double> ratio = relative(perplexity, full_precision);
    return ratio ? std::optional(std::log(*ratio)) : std::nullopt;
}

std::string ladder_row(const MeasuredRow& row, const Results& results) {
    std::string text = fmt::format("| {} | `{}` | ", row.plan.label(), row.plan.paper.recipe);
    const Measurement* const measured = row.measured();
    if (measured == nullptr || !row.plan.recipe) {
        return text +
               fmt::format("{0} | {0} | {0} | not available | {0} | {0} | {0} | {0} | {0} |\n",
                           kNothing);
    }
    const Measurement& m = *measured;
    text += fmt::format("{:.2f} | {:.2f} | {:.2f} | {} | {} | ", m.bits_per_weight,
                        m.bits_per_activation, m.bits_per_kv,
                        with_spread(m.perplexity, perplexity_deviation(row.seeds), 3),
                        number(loss(m.perplexity, results.full_precision.perplexity), 4));
    const auto percent = m.same_top1 ? std::optional(100.0 * *m.same_top1) : std::nullopt;
    return text + fmt::format("{} | {} | {:.0f} | {:.1f} |\n", number(m.kl, 4), number(percent, 1),
                              m.tokens_per_second, row.seconds());
}

std::string ladder_text(const std::vector<const MeasuredRow*>& rows, const Results& results) {
    std::string text =
        "Each row changes one thing beside all above it. Loss is the logarithm of perplexity over "
        "full precision's, KL the mean divergence from full precision's predictions in nats, "
        "top-1 the share of positions with the same likeliest token in per cent; tokens a second "
        "are those of the text in windows.\n\n"
        "| step | recipe | bits/weight | bits/activation | bits/cache | perplexity | loss | KL | "
        "top-1 | tokens/s | seconds |\n"
        "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n";
    for (const MeasuredRow* row : rows) text += ladder_row(*row, results);
    return text;
}

std::string paper_text(const std::vector<const MeasuredRow*>& rows, const Results& results) {
    std::string text =
        "| row | recipe | precision | bits/weight | bits/activation | bits/cache | perplexity | "
        "× full | paper | × full | seconds | peak memory |\n"
        "|---|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n";
    for (const MeasuredRow* row : rows) {
        text += table_row(*row, results.full_precision.perplexity);
    }
    return text;
}

// Those that stand in the same table or ladder.
std::vector<const MeasuredRow*> rows_at(const Results& results, const PlannedRow& like) {
    std::vector<const MeasuredRow*> rows;
    for (const MeasuredRow& row : results.rows) {
        if (row.plan.place() == like.place()) rows.push_back(&row);
    }
    return rows;
}

std::string section(const std::string& title, const std::string& table,
                    const std::vector<const MeasuredRow*>& rows) {
    return "## " + title + "\n\n" + table + "\n" + accuracy_table(rows) + table_notes(rows);
}

std::string table_text(const PaperTable& table, const Results& results) {
    const auto rows = rows_at(results, {.paper = {.table = table.number}});
    if (rows.empty()) return "";
    return section(heading(table), paper_text(rows, results), rows);
}

std::string ladder_section(int number, const Results& results) {
    const auto rows = rows_at(results, {.ladder = number});
    if (rows.empty()) return "";
    const Ladder& ladder = ladders()[static_cast<size_t>(number) - 1];
    return section(fmt::format("Beyond the paper: {}", ladder.title), ladder_text(rows, results),
                   rows);
}

// The methods of Table 1 that have a number in the paper and none here.
std::string left_out(const Results& results) {
    std::vector<std::string> names;
    for (const MeasuredRow& row : results.rows) {
        const PaperRow& paper = row.plan.paper;
        if (paper.table == 1 && row.plan.paper_perplexity() && !row.perplexity()) {
            names.push_back(row.plan.label());
        }
    }
    return names.empty() ? "" : fmt::format("Not available here: {}.\n\n", joined(names));
}

std::string swap_line(const MethodOrder::Swap& swap) {
    const Method& behind = swap.paper_prefers;
    const Method& ahead = swap.we_prefer;
    std::string text = fmt::format(
        "* {} is ahead of {} here ({:.4f} at {:.2f} bits a weight against {:.4f} at {:.2f}), "
        "behind "
        "it in the paper ({:.2f} against {:.2f})",
        ahead.name, behind.name, ahead.ours, ahead.bits_per_weight, behind.ours,
        behind.bits_per_weight, ahead.paper, behind.paper);
    if (is_too_close_to_call(ahead, behind)) {
        text += fmt::format("; with {} windows this is too close to call", ahead.window_nll.size());
    }
    return text + ".\n";
}

std::string order_text(const ReportHeader& header, const Results& results) {
    const MethodOrder order = table_1_order(results);
    if (order.ours.size() < 2) return "";
    std::string text = "## Order of methods\n\n";
    text += fmt::format("Table 1, best first. Here: {}. In the paper: {}.\n\n", joined(order.ours),
                        joined(order.paper));
    text += left_out(results);
    if (order.swaps.empty()) return text + "The order is the paper's.\n";
    for (const MethodOrder::Swap& swap : order.swaps) text += swap_line(swap);
    if (header.on_4_bit_grids) {
        text += "\nWeights that come from 4-bit codes favour unrotated methods; see the top.\n";
    }
    return text;
}

}  // namespace

std::string markdown_report(const ReportHeader& header, const Results& results) {
    std::string text = header_lines(header) + kLegend;
    if (results.has_tasks()) text += kAccuracyLegend;
    for (const std::string& note : notes_of_accuracies(header, results)) {
        text += io::printable(note, kLongestReason) + "\n\n";
    }
    for (const PaperTable& table : paper_tables()) text += table_text(table, results);
    for (int number = 1; number <= std::ssize(ladders()); ++number) {
        text += ladder_section(number, results);
    }
    return text + order_text(header, results);
}

}  // namespace quarot::reproduce
