// All pictures and tables on one page that needs nothing else.
#pragma once

#include <string>
#include <vector>

#include "plot/document.h"
#include "plot/svg.h"

namespace quarot::plot {

struct Section {
    std::string title;
    std::vector<Figure> figures;
    std::string tables;  // HTML, made by the functions below
};

// Kurtosis, max/median, max/RMS and SQNR of every place.
std::string stats_table(const StatsDocument& document);
std::string perplexity_table(const std::vector<PerplexityDocument>& documents);
// Perplexities of one of the paper's tables.
std::string paper_table(const PaperTable& table);

std::string html_report(const std::string& version, const std::vector<std::string>& files,
                        const std::vector<Section>& sections);

}  // namespace quarot::plot
