// Names that a folder lists, whatever is behind them.
#pragma once

#include <string>

namespace quarot::io {

// True of a link that leads nowhere, too, so that opening it says so, where a file that may be
// missing would be taken for that.
bool is_listed(const std::string& path);

}  // namespace quarot::io
