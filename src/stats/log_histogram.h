// Counts of numbers by sign and logarithm of the magnitude, in the same memory for any count.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

namespace quarot::stats {

// Bins of an octave; a bin is as wide as 1/kStepsOfOctave of the octave's lower end.
inline constexpr int kStepsOfOctave = 8;
// Octaves that are told apart below a channel's largest magnitude; what is smaller counts as 0.
inline constexpr int kOctaves = 14;
// All of fp32's: of numbers of all channels together.
inline constexpr int kAllOctaves = 256;

// Finite fp32 numbers. Count: an unsigned integer that holds the number of them. The result does
// not depend on their order.
template <typename Count, int Octaves = kOctaves>
class LogHistogram {
  public:
    void add(float x, Count n = 1) {
        const int step = step_of(x);
        if (step > top_) move_top(step);
        const int bin = step - bottom();
        if (bin < 0 || x == 0.0f) {
            zeros_ += n;
        } else {
            (x < 0.0f ? negative_ : positive_)[static_cast<size_t>(bin)] += n;
        }
    }

    // Adds the magnitudes of another histogram's numbers.
    template <typename Other, int OtherOctaves>
    void add_magnitudes(const LogHistogram<Other, OtherOctaves>& other) {
        if (other.top_ > top_) move_top(other.top_);
        zeros_ += other.zeros_;
        for (int from = 0; from < other.kBins; ++from) {
            const auto index = static_cast<size_t>(from);
            const auto n =
                static_cast<Count>(Count{other.negative_[index]} + Count{other.positive_[index]});
            const int bin = from + other.bottom() - bottom();
            (bin < 0 ? zeros_ : positive_[static_cast<size_t>(bin)]) += n;
        }
    }

    // The number of rank round(share * (n - 1)) of the n in ascending order, within 1/8 of its
    // magnitude, or 0 if it is below the largest magnitude / 2^Octaves; 0 if there are none.
    // share: from 0 to 1.
    double quantile(double share) const {
        const Count n = total();
        if (n == 0) return 0.0;
        auto rank = static_cast<Count>(std::llround(share * static_cast<double>(n - 1)));
        for (int bin = kBins - 1; bin >= 0; --bin) {
            const Count count = negative_[static_cast<size_t>(bin)];
            if (rank < count) return -inside(bin, count, count - 1 - rank);
            rank -= count;
        }
        if (rank < zeros_) return 0.0;
        rank -= zeros_;
        for (int bin = 0; bin < kBins; ++bin) {
            const Count count = positive_[static_cast<size_t>(bin)];
            if (rank < count) return inside(bin, count, rank);
            rank -= count;
        }
        return 0.0;
    }

    Count total() const {
        Count sum = zeros_;
        for (const Count count : negative_) sum += count;
        for (const Count count : positive_) sum += count;
        return sum;
    }

  private:
    template <typename, int>
    friend class LogHistogram;

    static constexpr int kBins = kStepsOfOctave * Octaves;
    static constexpr int kMantissaBits = 20;  // of fp32's 23, those below a step

    // Exponent and leading bits of the mantissa: a logarithm in steps of linear width.
    static int step_of(float x) {
        return static_cast<int>(std::bit_cast<uint32_t>(std::fabs(x)) >> kMantissaBits);
    }
    // The lower edge of a step. That above the last one is infinite, no number of the bin is.
    static double edge(int step) {
        return std::min(std::bit_cast<float>(static_cast<uint32_t>(step) << kMantissaBits),
                        std::numeric_limits<float>::max());
    }
    int bottom() const { return top_ - kBins + 1; }

    // Where the number of a rank stands if those of the bin are spread evenly.
    double inside(int bin, Count count, Count rank) const {
        const double low = edge(bottom() + bin), high = edge(bottom() + bin + 1);
        return low + (high - low) * (static_cast<double>(rank) + 0.5) / static_cast<double>(count);
    }

    void move_top(int step) {
        const int shift = std::min(step - top_, kBins);
        for (auto* bins : {&negative_, &positive_}) {
            for (int bin = 0; bin < shift; ++bin) zeros_ += (*bins)[static_cast<size_t>(bin)];
            std::move(bins->begin() + shift, bins->end(), bins->begin());
            std::fill(bins->end() - shift, bins->end(), Count{0});
        }
        top_ = step;
    }

    std::array<Count, kBins> negative_{}, positive_{};  // from the smallest magnitude on
    Count zeros_ = 0;
    int top_ = kBins - 1;  // the step of the last bin
};

}  // namespace quarot::stats
