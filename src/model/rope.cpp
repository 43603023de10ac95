#include "model/rope.h"

#include <cmath>
#include <numbers>

#include "core/check.h"

namespace quarot::model {

namespace {

// Llama 3.1: wavelengths that the old context holds many times are kept, those it does not hold
// are stretched by `factor`, and between the two borders the frequency goes over linearly.
double llama3_frequency(const RopeConfig& rope, double frequency) {
    const double turns =
        static_cast<double>(rope.original_max_positions) * frequency / (2.0 * std::numbers::pi);
    if (turns > rope.high_freq_factor) return frequency;
    if (turns < rope.low_freq_factor) return frequency / rope.factor;
    const double kept =
        (turns - rope.low_freq_factor) / (rope.high_freq_factor - rope.low_freq_factor);
    return (1.0 - kept) * frequency / rope.factor + kept * frequency;
}

}  // namespace

std::vector<double> rope_frequencies(const RopeConfig& rope, int64_t head_dim) {
    QUAROT_CHECK(head_dim > 0 && head_dim % 2 == 0, "{}", head_dim);
    std::vector<double> frequencies(static_cast<size_t>(head_dim / 2));
    for (size_t i = 0; i < frequencies.size(); ++i) {
        const double exponent = -2.0 * static_cast<double>(i) / static_cast<double>(head_dim);
        const double plain = std::pow(rope.theta, exponent);
        switch (rope.type) {
            case RopeType::Default:
                frequencies[i] = plain;
                break;
            case RopeType::Linear:
                frequencies[i] = plain / rope.factor;
                break;
            case RopeType::Llama3:
                frequencies[i] = llama3_frequency(rope, plain);
                break;
        }
    }
    return frequencies;
}

RopeAngles rope_angles(const RopeConfig& rope, int64_t head_dim, int64_t first,
                       int64_t n_positions) {
    const std::vector<double> frequencies = rope_frequencies(rope, head_dim);
    RopeAngles angles;
    angles.cos.reserve(static_cast<size_t>(n_positions) * frequencies.size());
    angles.sin.reserve(static_cast<size_t>(n_positions) * frequencies.size());
    for (int64_t position = first; position < first + n_positions; ++position) {
        for (const double frequency : frequencies) {
            const double angle = static_cast<double>(position) * frequency;
            angles.cos.push_back(static_cast<float>(std::cos(angle)));
            angles.sin.push_back(static_cast<float>(std::sin(angle)));
        }
    }
    return angles;
}

}  // namespace quarot::model
