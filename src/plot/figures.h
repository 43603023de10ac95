// The pictures: each from documents to a finished figure.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "plot/document.h"
#include "plot/svg.h"

namespace quarot::plot {

// The paper's Figure 1: for every channel the range of all its values, of 98 and of 50 percent of
// them, before and after rotation side by side on one scale. Channels that share a pixel are drawn
// as one with the extremes of each band, so no spike is lost. name: of the file.
Figure band_figure(const StatsDocument& document, const Place& place, const std::string& name);

// Which of a place's figures goes along the layers.
enum class Measure { Kurtosis, Sqnr };
// A panel for each activation point, or for each weight, before and after rotation; empty if there
// is nothing of the kind.
std::optional<Figure> layer_figure(const StatsDocument& document, Measure measure, bool of_weights,
                                   const std::string& name);

// Perplexity by those of the three widths that vary most; empty if none does, or if there is no
// series of two. Beside them a line for each model's perplexity at full precision. All of equal
// terms.
std::optional<Figure> bits_figure(const std::string& title, const std::string& subtitle,
                                  const std::vector<MeasuredPerplexity>& measured,
                                  const std::string& name);

// Bars by test, a panel for each.
Figure speed_figure(const std::vector<BenchDocument>& documents, const std::string& name);

}  // namespace quarot::plot
