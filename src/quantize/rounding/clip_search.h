// Which grid fits a run of weights: its range, or the part of it that gives the smallest error.
#pragma once

#include <span>

#include "quantize/rounding/grid.h"
#include "tensor/dtype.h"

namespace quarot::quantize {

struct GridFormat {
    int bits = 4;
    bool symmetric = true;
    bool clip_search = true;
    DType scale = DType::F32;  // scales are rounded to it (F32 or F16) before they are judged
};

// The range of w always includes 0 and its maximum is at least 1e-5; a run of zeros counts as
// (-1, 1) when asymmetric. With clip_search both ends are tried at 1.00, 0.99 .. 0.21 of their
// value; the smallest sum |w_hat - w|^2.4 wins, the wider range among equals. w: finite.
// importance: empty, or h of each weight: then the smallest sum h (w_hat - w)^2 wins, and of
// asymmetric grids those with the zero point before and after are tried as well.
// Error{Numeric} if the scale does not fit its type.
Grid choose_grid(std::span<const float> w, const GridFormat& format,
                 std::span<const double> importance = {});

}  // namespace quarot::quantize
