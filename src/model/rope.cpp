#include "model/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "core/check.h"

namespace quarot::model {

namespace {

// Stretched as far as a session of n_positions needs, and no more.
double dynamic_theta(const RopeConfig& rope, double dim, int64_t n_positions) {
    const auto original = static_cast<double>(rope.original_max_positions);
    const double n = std::max(static_cast<double>(n_positions), original);
    const double stretch = rope.factor * n / original - (rope.factor - 1.0);
    return rope.theta * std::pow(stretch, dim / (dim - 2.0));
}

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

// YaRN: the same thought by the number of the pair, between borders rounded outward.
double yarn_frequency(const RopeConfig& rope, double dim, double pair, double frequency) {
    const auto pair_that_turns = [&](double times) {
        const auto original = static_cast<double>(rope.original_max_positions);
        return dim * std::log(original / (2.0 * std::numbers::pi * times)) /
               (2.0 * std::log(rope.theta));
    };
    const double first = std::max(std::floor(pair_that_turns(rope.beta_fast)), 0.0);
    const double last = std::min(std::ceil(pair_that_turns(rope.beta_slow)), dim - 1.0);
    const double width = first == last ? 0.001 : last - first;  // a step
    const double stretched = std::clamp((pair - first) / width, 0.0, 1.0);
    return stretched * frequency / rope.factor + (1.0 - stretched) * frequency;
}

const std::vector<double>& longrope_factors(const RopeConfig& rope, int64_t n_positions) {
    return n_positions > rope.original_max_positions ? rope.long_factors : rope.short_factors;
}

}  // namespace

bool depends_on_length(const RopeConfig& rope) {
    return rope.type == RopeType::Dynamic || rope.type == RopeType::LongRope;
}

std::vector<double> rope_frequencies(const RopeConfig& rope, int64_t head_dim,
                                     int64_t n_positions) {
    QUAROT_CHECK(head_dim > 0 && head_dim % 2 == 0, "{}", head_dim);
    const int64_t dim = rope.rotary_dim == 0 ? head_dim : rope.rotary_dim;
    QUAROT_CHECK(dim > 0 && dim % 2 == 0 && dim <= head_dim, "{} {}", dim, head_dim);
    const auto width = static_cast<double>(dim);
    const double theta =
        rope.type == RopeType::Dynamic ? dynamic_theta(rope, width, n_positions) : rope.theta;
    const std::vector<double>& factors = longrope_factors(rope, n_positions);
    std::vector<double> frequencies(static_cast<size_t>(head_dim / 2), 0.0);
    for (int64_t i = 0; i < dim / 2; ++i) {
        const auto pair = static_cast<double>(i);
        const double plain = std::pow(theta, -2.0 * pair / width);
        double& frequency = frequencies[static_cast<size_t>(i)];
        switch (rope.type) {
            case RopeType::Default:
            case RopeType::Dynamic:
                frequency = plain;
                break;
            case RopeType::Linear:
                frequency = plain / rope.factor;
                break;
            case RopeType::Yarn:
                frequency = yarn_frequency(rope, width, pair, plain);
                break;
            case RopeType::Llama3:
                frequency = llama3_frequency(rope, plain);
                break;
            case RopeType::LongRope:
                frequency = plain / factors.at(static_cast<size_t>(i));
                break;
        }
    }
    return frequencies;
}

RopeAngles rope_angles(const std::vector<double>& frequencies, double amplitude, int64_t first,
                       int64_t n) {
    RopeAngles angles;
    angles.cos.reserve(static_cast<size_t>(n) * frequencies.size());
    angles.sin.reserve(static_cast<size_t>(n) * frequencies.size());
    for (int64_t position = first; position < first + n; ++position) {
        for (const double frequency : frequencies) {
            const double angle = static_cast<double>(position) * frequency;
            const double radius = frequency == 0.0 ? 1.0 : amplitude;
            angles.cos.push_back(static_cast<float>(radius * std::cos(angle)));
            angles.sin.push_back(static_cast<float>(radius * std::sin(angle)));
        }
    }
    return angles;
}

}  // namespace quarot::model
