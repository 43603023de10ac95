// What quantizing takes from rows of values, by the operations that run models.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "kernels/ops.h"
#include "stats/point.h"

namespace quarot::stats {

// Works on the CPU, whatever runs the model; codes are the same on all backends. Used by one
// thread.
class RoundingNoise {
  public:
    explicit RoundingNoise(int n_threads);

    // Sum of (x - x^)^2 of each of a sequence's tokens from the first on, values [n_tokens, width];
    // width is a multiple of format.cols. The same for any number of threads; nothing for 16 bits.
    // Error{Numeric} where scales of the cache do not hold a range.
    std::vector<double> of(std::span<const float> values, int64_t width, const PointFormat& format);

  private:
    // What rows come back as, into quantized_.
    void quantize(std::span<const float> values, int64_t cols,
                  const kernels::ActivationFormat& format);
    void quantize(std::span<const float> values, int64_t cols, const kernels::KvFormat& format);

    std::unique_ptr<kernels::Backend> backend_;
    kernels::Buffer values_, codes_, positions_;  // of the largest call so far
    std::vector<float> quantized_;
};

}  // namespace quarot::stats
