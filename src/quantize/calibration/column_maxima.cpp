#include "quantize/calibration/column_maxima.h"

#include <algorithm>
#include <cmath>

#include "core/check.h"
#include "quantize/calibration/download_row.h"

namespace quarot::quantize {

void raise_column_maxima(const kernels::Rows& rows, kernels::Backend& backend,
                         std::vector<float>& maxima) {
    QUAROT_CHECK(std::ssize(maxima) == rows.cols);
    std::vector<float> row(static_cast<size_t>(rows.cols));
    for (int64_t r = 0; r < rows.rows; ++r) {
        download_row(rows, r, backend, row);
        for (size_t c = 0; c < row.size(); ++c) maxima[c] = std::max(maxima[c], std::abs(row[c]));
    }
}

}  // namespace quarot::quantize
