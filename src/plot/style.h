// Colours and type of pictures and report, for light and dark screens.
#pragma once

#include <string>

namespace quarot::plot {

// Series of the charts with several, told apart by colour and, where they are lines, by their
// labels: classes "series-0" to "series-7".
inline constexpr int kSeries = 8;

// CSS of the elements of pictures.
std::string picture_style();
// CSS of the page around them.
std::string page_style();

}  // namespace quarot::plot
