#include "plot/html_report.h"

#include <fmt/format.h>

#include "plot/style.h"

namespace quarot::plot {
namespace {

struct Cell {
    std::string text;
    const char* css = "";  // "text": left-aligned words; "text wide": many of them
};

std::string table_of(const std::vector<Cell>& head, const std::vector<std::vector<Cell>>& rows) {
    const auto line = [](const std::vector<Cell>& cells, const char* tag) {
        std::string html = "<tr>";
        for (const Cell& cell : cells) {
            html += fmt::format("<{0} class=\"{1}\">{2}</{0}>", tag, cell.css, escaped(cell.text));
        }
        return html + "</tr>\n";
    };
    std::string html = "<div class=\"table\"><table>\n" + line(head, "th");
    for (const std::vector<Cell>& row : rows) html += line(row, "td");
    return html + "</table></div>\n";
}

std::string number(std::optional<double> value) {
    return value ? short_number(*value) : "–";
}

std::string with_digits(std::optional<double> value, int digits) {
    return value ? fmt::format("{:.{}f}", *value, digits) : "–";
}

template <typename Get>
void add_both(std::vector<Cell>& cells, const Place& place, const Get& get) {
    for (const auto* stage : {&place.before, &place.after}) {
        cells.push_back({number(*stage ? get(**stage) : std::optional<double>())});
    }
}

}  // namespace

std::string stats_table(const StatsDocument& document) {
    std::vector<std::vector<Cell>> rows;
    for (const Place& place : document.places) {
        std::vector<Cell> cells = {{place.name, "text"}, {std::to_string(place.layer)}};
        add_both(cells, place, [](const Spread& s) { return s.kurtosis; });
        add_both(cells, place, [](const Spread& s) { return s.max_to_median; });
        add_both(cells, place, [](const Spread& s) { return std::optional(s.mean_peak_ratio); });
        cells.push_back({std::to_string(place.bits)});
        add_both(cells, place, [](const Spread& s) { return s.sqnr_db; });
        rows.push_back(std::move(cells));
    }
    return table_of({{"place", "text"},
                     {"layer"},
                     {"kurtosis"},
                     {"after"},
                     {"max/median"},
                     {"after"},
                     {"max/RMS"},
                     {"after"},
                     {"bits"},
                     {"SQNR dB"},
                     {"after"}},
                    rows);
}

std::string perplexity_table(const std::vector<PerplexityDocument>& documents) {
    std::vector<std::vector<Cell>> rows;
    for (const PerplexityDocument& document : documents) {
        const MeasuredPerplexity& measured = document.measured;
        rows.push_back({{document.file, "text"},
                        {measured.model, "text"},
                        {measured.label, "text"},
                        {with_digits(measured.weight_bits, 2)},
                        {with_digits(measured.activation_bits, 0)},
                        {with_digits(measured.cache_bits, 1)},
                        {with_digits(measured.perplexity, 4)},
                        {with_digits(measured.standard_error, 4)}});
    }
    return table_of({{"file", "text"},
                     {"model", "text"},
                     {"recipe", "text"},
                     {"bits/weight"},
                     {"bits/activation"},
                     {"bits/cache"},
                     {"perplexity"},
                     {"±"}},
                    rows);
}

std::string paper_table(const PaperTable& table) {
    std::vector<std::vector<Cell>> rows;
    for (const PaperTable::Row& row : table.rows) {
        const auto& measured = row.measured;
        const auto figure = [&](double MeasuredPerplexity::*value, int digits) {
            return with_digits(measured ? std::optional((*measured).*value) : std::nullopt, digits);
        };
        rows.push_back({{row.name, "text"},
                        {row.recipe, "text"},
                        {row.precision, "text"},
                        {figure(&MeasuredPerplexity::weight_bits, 2)},
                        {figure(&MeasuredPerplexity::activation_bits, 2)},
                        {figure(&MeasuredPerplexity::cache_bits, 2)},
                        {figure(&MeasuredPerplexity::perplexity, 4)},
                        {with_digits(row.relative, 3)},
                        {with_digits(row.paper, 2)},
                        {with_digits(row.accuracy, 2)},
                        {with_digits(row.paper_accuracy, 2)},
                        {with_digits(row.seconds, 1)},
                        {row.remark, "text wide"}});
    }
    return fmt::format("<h3>{}</h3>\n", table.title()) + table_of({{"row", "text"},
                                                                   {"recipe", "text"},
                                                                   {"precision", "text"},
                                                                   {"bits/weight"},
                                                                   {"bits/activation"},
                                                                   {"bits/cache"},
                                                                   {"perplexity"},
                                                                   {"× full"},
                                                                   {"paper"},
                                                                   {"accuracy %"},
                                                                   {"paper"},
                                                                   {"seconds"},
                                                                   {"remark", "text"}},
                                                                  rows);
}

std::string html_report(const std::string& version, const std::vector<std::string>& files,
                        const std::vector<Section>& sections) {
    std::string html = fmt::format(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
        "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n"
        "<title>quarot report</title>\n<style>\n{}{}</style>\n</head>\n<body>\n"
        "<h1>quarot report</h1>\n<p>quarot {}, from",
        picture_style(), page_style(), escaped(version));
    for (size_t i = 0; i < files.size(); ++i) {
        html += fmt::format("{} <b>{}</b>", i == 0 ? "" : ",", escaped(files[i]));
    }
    html += ". Rest the pointer on a picture for its values.</p>\n";
    for (const Section& section : sections) {
        html += fmt::format("<h2>{}</h2>\n", escaped(section.title));
        for (const Figure& figure : section.figures) html += figure.element();
        html += section.tables;
    }
    return html + "</body>\n</html>\n";
}

}  // namespace quarot::plot
