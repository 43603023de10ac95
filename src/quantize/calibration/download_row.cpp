#include "quantize/calibration/download_row.h"

#include <cstddef>
#include <vector>

#include "core/check.h"
#include "tensor/float_convert.h"

namespace quarot::quantize {

void download_row(const kernels::Rows& rows, int64_t row, kernels::Backend& backend,
                  std::span<float> out) {
    QUAROT_CHECK(std::ssize(out) == rows.cols, "{} {}", out.size(), rows.cols);
    std::vector<std::byte> stored(static_cast<size_t>(rows.cols * size_of(rows.dtype)));
    backend.download(stored.data(), rows.at(row), std::ssize(stored));
    backend.synchronize();
    widen(rows.dtype, stored.data(), out);
}

}  // namespace quarot::quantize
