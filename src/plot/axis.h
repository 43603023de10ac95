// An axis: which numbers it spans, where they stand, and which of them are written beside it.
#pragma once

#include <span>
#include <string>
#include <vector>

namespace quarot::plot {

class Axis {
  public:
    // All values have magnitudes up to 1e300; NaN, Inf and larger ones are Error{Internal}.
    // From the smallest to the largest of the values, widened to whole steps; equal or no values
    // get some room.
    static Axis linear(std::span<const double> values);
    // The same, from the smallest to the largest and no further.
    static Axis within(std::span<const double> values);
    // As linear, with 0 among them.
    static Axis from_zero(std::span<const double> values);
    // Positive values; others are left out.
    static Axis logarithmic(std::span<const double> values);

    // 0 at the low end, 1 at the high one; values outside stand at the nearer end.
    double share(double value) const;
    double low() const { return low_; }
    double high() const { return high_; }
    const std::vector<double>& ticks() const { return ticks_; }
    // "0.5", "1,000"
    std::string label(double tick) const;

  private:
    double low_ = 0.0, high_ = 1.0;
    bool is_logarithmic_ = false;
    double step_ = 1.0;
    std::vector<double> ticks_;
};

}  // namespace quarot::plot
