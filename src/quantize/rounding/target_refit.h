// Which weights give on the inputs of the quantized model what the stored ones give on those at
// full precision?
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/thread_pool.h"
#include "quantize/calibration/site_moments.h"
#include "quantize/rounding/quantizer.h"

namespace quarot::quantize {

// Of the linears of one site. With H and C the sums of x~ x~^T and x x~^T over the fitted windows,
// the least squares solution of W x = W* x~, damped towards W, is
//
//   W* = W + W M,   M = (C - H) (H + lambda I)^-1,   lambda = damp * mean(diagonal of H)
//
// A part of the way may be taken, such as the one that serves best on windows that M has not seen.
class TargetRefit {
  public:
    // Damps more, with a warning, where H needs it. Deterministic for any number of threads in the
    // pool, which must outlive it. Error{Numeric} naming the site for NaN and Inf.
    TargetRefit(const std::string& site, SiteMoments moments, double damp, ThreadPool& pool);

    // Mean of x~ x~^T over all tokens; once.
    Hessian take_hessian() { return std::move(hessian_); }

    // W M, rounded to fp32. weight: all rows.
    std::vector<float> moves_of(const WeightMatrix& weight) const;

    // The share in [0, 1] of the moves that brings (W + share W M) x~ next to W x on the windows
    // held out: 0 where all of it hurts. Judged by some of the rows, the same for equal shapes.
    double share_for(const WeightMatrix& weight, std::span<const float> moves) const;

  private:
    int64_t n_ = 0;
    ThreadPool& pool_;
    std::vector<double> distance_;       // C - H
    std::vector<double> u_;              // (H + lambda I)^-1 = U^T U; empty: no input is reached
    std::vector<double> held_own_;       // H of the windows held out
    std::vector<double> held_distance_;  // C - H of them
    Hessian hessian_;
};

}  // namespace quarot::quantize
