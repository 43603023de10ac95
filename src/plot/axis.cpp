#include "plot/axis.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "core/check.h"
#include "plot/svg.h"

namespace quarot::plot {
namespace {

constexpr double kTicks = 5.0;  // about so many on an axis
// Beyond these, differences and powers of ten overflow, or are 0.
constexpr double kLeast = 1e-300, kMost = 1e300;

// NaN is refused too.
void check_values(std::span<const double> values) {
    for (const double value : values) QUAROT_CHECK(std::fabs(value) <= kMost, "{}", value);
}

// 1, 2 or 5 times a power of ten, at least `least`.
double nice_step(double least) {
    const double power = std::pow(10.0, std::floor(std::log10(least)));
    for (const double factor : {1.0, 2.0, 5.0}) {
        if (factor * power >= least * (1 - 1e-9)) return factor * power;
    }
    return 10.0 * power;
}

// "10⁵"; of another number its digits.
std::string power_of_ten(double value) {
    constexpr std::array<const char*, 10> kSuperscripts = {"⁰", "¹", "²", "³", "⁴",
                                                           "⁵", "⁶", "⁷", "⁸", "⁹"};
    const auto power = std::lround(std::log10(value));
    if (value != std::pow(10.0, power)) return fmt::format("{:g}", value);
    std::string text = "10";
    for (const char digit : std::to_string(power)) {
        text += kSuperscripts.at(static_cast<size_t>(digit - '0'));
    }
    return text;
}

}  // namespace

Axis Axis::linear(std::span<const double> values) {
    check_values(values);
    double low = 0.0, high = 0.0;
    if (!values.empty()) {
        const auto [min, max] = std::minmax_element(values.begin(), values.end());
        low = *min;
        high = *max;
    }
    if (high - low <= 1e-12 * std::max(std::fabs(low), std::fabs(high)) || high - low < kLeast) {
        const double room = std::fabs(low) < kLeast ? 1.0 : 0.5 * std::fabs(low);
        low -= room;
        high += room;
    }
    Axis axis;
    axis.step_ = nice_step((high - low) / kTicks);
    const double first = std::floor(low / axis.step_ + 1e-9);
    const double last = std::ceil(high / axis.step_ - 1e-9);
    axis.low_ = first * axis.step_;
    axis.high_ = last * axis.step_;
    for (double tick = first; tick <= last; tick += 1.0) axis.ticks_.push_back(tick * axis.step_);
    return axis;
}

Axis Axis::within(std::span<const double> values) {
    Axis axis = linear(values);
    if (values.empty()) return axis;
    const auto [min, max] = std::minmax_element(values.begin(), values.end());
    if (*max - *min < kLeast) return axis;
    axis.low_ = *min;
    axis.high_ = *max;
    std::erase_if(axis.ticks_, [&](double tick) { return tick < axis.low_ || tick > axis.high_; });
    return axis;
}

Axis Axis::from_zero(std::span<const double> values) {
    std::vector<double> with_zero(values.begin(), values.end());
    with_zero.push_back(0.0);
    return linear(with_zero);
}

Axis Axis::logarithmic(std::span<const double> values) {
    check_values(values);
    double low = 0.0, high = 0.0;
    for (const double value : values) {
        if (value < kLeast) continue;
        low = low == 0.0 ? value : std::min(low, value);
        high = std::max(high, value);
    }
    if (low == 0.0) low = high = 1.0;
    Axis axis;
    axis.is_logarithmic_ = true;
    const double decades = std::log10(high / low);
    // Few decades begin and end at 1, 2 or 5, many at powers of ten.
    const std::vector<double> factors =
        decades < 2.0 ? std::vector<double>{1.0, 2.0, 5.0} : std::vector<double>{1.0};
    const int first = static_cast<int>(std::floor(std::log10(low))) - 1;
    const int last = static_cast<int>(std::ceil(std::log10(high))) + 1;
    std::vector<double> steps;
    for (int power = first; power <= last; ++power) {
        for (const double factor : factors) steps.push_back(factor * std::pow(10.0, power));
    }
    auto from = std::upper_bound(steps.begin(), steps.end(), low * (1 + 1e-9)) - 1;
    auto to = std::lower_bound(from, steps.end(), high * (1 - 1e-9));
    if (to == from) {
        --from;
        ++to;
    }
    axis.low_ = *from;
    axis.high_ = *to;
    const auto n_steps = static_cast<double>(to - from);
    const auto stride = std::max<std::ptrdiff_t>(1, std::lround(n_steps / 8.0));
    for (auto step = from; step <= to;
         step += std::min<std::ptrdiff_t>(stride, steps.end() - step)) {
        axis.ticks_.push_back(*step);
        if (to - step < stride) break;
    }
    return axis;
}

double Axis::share(double value) const {
    const double share = is_logarithmic_
                             ? (value > 0.0 ? std::log(value / low_) / std::log(high_ / low_) : 0.0)
                             : (value - low_) / (high_ - low_);
    return std::clamp(share, 0.0, 1.0);
}

std::string Axis::label(double tick) const {
    const double size = std::max(std::fabs(low_), std::fabs(high_));
    if (is_logarithmic_ && size >= 1e5 && tick >= 1e4) return power_of_ten(tick);
    if (size >= 1e6 || size < 1e-3) return fmt::format("{:g}", tick);
    if (is_logarithmic_) return fmt::format("{:g}", tick);
    const int digits = std::max(0, static_cast<int>(-std::floor(std::log10(step_) + 1e-9)));
    return fmt::format("{:.{}f}", tick == 0.0 ? 0.0 : tick, digits);
}

}  // namespace quarot::plot
