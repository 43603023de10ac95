// Products of random codes: do the sums of a tier equal those of plain 64-bit loops?
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <random>
#include <vector>

#include "core/checked_math.h"
#include "kernels/cpu/isa_kernels.h"

namespace quarot::kernels::cpu {

// Up to 3 panels of codes, up to 100 rows of activations, and what stands beside them. Scales are
// 1, so that an output is its sum rounded once.
class RandomProduct {
  public:
    explicit RandomProduct(uint32_t seed) : random_(seed) {
        w_bits_ = pick(2, 8);
        a_bits_ = pick(2, 8);
        // Borders of what an int16 holds and of blocks are near multiples of 8.
        steps_ = pick(0, 1) == 0 ? pick(1, 300) : 8 * pick(1, 37) + pick(-1, 1);
        n_panels_ = pick(1, 3);
        n_tokens_ = pick(0, 19) == 0 ? pick(500, 1100) : pick(1, 100);
        n_outputs_ = n_panels_ * kPanelOutputs - pick(0, kPanelOutputs - 1);
        n_inputs_ = 4 * steps_ - pick(0, 3);
        temper_ = pick(0, 3);
        fill();
    }

    void check_panels(const IsaKernels& isa) const {
        const int64_t tile_bytes = panel_tile_bytes(steps_);
        std::vector<int8_t> tiles(
            static_cast<size_t>(ceil_div(n_tokens_, isa.panel_tokens) * tile_bytes), 77);
        for (int64_t t = 0, tile = 0; t < n_tokens_; t += isa.panel_tokens, ++tile) {
            isa.pack_panel_tile(activations_.data() + t * stride(), stride(),
                                std::min<int64_t>(isa.panel_tokens, n_tokens_ - t), steps_,
                                tiles.data() + tile * tile_bytes);
        }
        std::vector<float> out(static_cast<size_t>(n_tokens_ * n_outputs_));
        for (int64_t p = 0; p < n_panels_; ++p) {
            const int64_t first = p * kPanelOutputs;
            isa.int_panel(panel(p), steps_, tile_of(tiles.data(), n_tokens_), n_tokens_, tile_bytes,
                          {out.data() + first, n_outputs_,
                           std::min<int64_t>(kPanelOutputs, n_outputs_ - first), false});
        }
        for (int64_t t = 0; t < n_tokens_; ++t) expect_row(isa, t, out.data() + t * n_outputs_);
    }

    void check_row(const IsaKernels& isa) const {
        std::vector<float> out(static_cast<size_t>(n_outputs_));
        isa.int_row(panel(0), n_panels_, panel_bytes(), steps_, tile_of(activations_.data(), 1),
                    {out.data(), 0, n_outputs_, false});
        expect_row(isa, 0, out.data());
    }

  private:
    int pick(int lo, int hi) { return std::uniform_int_distribution<int>(lo, hi)(random_); }
    int64_t stride() const { return round_up(4 * steps_, 64); }
    int64_t panel_bytes() const { return steps_ * (w_bits_ <= 4 ? 64 : 128); }
    size_t weight_at(int64_t output, int64_t input) const {
        return static_cast<size_t>(output * 4 * steps_ + input);
    }

    // Anything in the range, its lower end, its upper end, or either end.
    int code(int lo, int hi) {
        if (temper_ == 0) return pick(lo, hi);
        if (temper_ == 3) return pick(0, 1) == 0 ? lo : hi;
        return temper_ == 1 ? lo : hi;
    }

    void fill() {
        const int64_t padded = n_panels_ * kPanelOutputs;
        const int w_max = (1 << w_bits_) - 1, a_max = 1 << (a_bits_ - 1);
        weights_.resize(weight_at(padded, 0));
        activations_.resize(static_cast<size_t>(n_tokens_ * stride()));
        for (int64_t o = 0; o < n_outputs_; ++o) {
            for (int64_t k = 0; k < n_inputs_; ++k) {
                weights_[weight_at(o, k)] =
                    static_cast<uint8_t>(temper_ == 1 ? w_max : code(0, w_max));
            }
        }
        for (int64_t t = 0; t < n_tokens_; ++t) {
            for (int64_t k = 0; k < n_inputs_; ++k) {
                activations_[static_cast<size_t>(t * stride() + k)] =
                    static_cast<int8_t>(code(-a_max, a_max - 1));
            }
        }
        ones_.assign(static_cast<size_t>(std::max<int64_t>(padded, n_tokens_)), 1.0f);
        for (int64_t o = 0; o < padded; ++o) {
            zeros_.push_back(pick(0, w_max));
            int32_t sum = 0;
            for (int64_t k = 0; k < n_inputs_; ++k) sum += weights_[weight_at(o, k)];
            code_sums_.push_back(sum);
        }
        for (int64_t t = 0; t < n_tokens_; ++t) {
            offsets_.push_back(pick(-a_max, a_max));
            int32_t sum = 0;
            for (int64_t k = 0; k < n_inputs_; ++k) {
                sum += activations_[static_cast<size_t>(t * stride() + k)] - offsets_.back();
            }
            offset_sums_.push_back(sum);
        }
        pack();
    }

    void pack() {
        packed_.resize(static_cast<size_t>(n_panels_ * panel_bytes()));
        for (int64_t o = 0; o < n_panels_ * kPanelOutputs; ++o) {
            uint8_t* panel = packed_.data() + o / kPanelOutputs * panel_bytes();
            const int64_t r = o % kPanelOutputs;
            for (int64_t k = 0; k < 4 * steps_; ++k) {
                const uint8_t code = weights_[weight_at(o, k)];
                if (w_bits_ > 4) {
                    panel[k / 4 * 128 + 4 * r + k % 4] = code;
                } else {
                    panel[k / 4 * 64 + 4 * (r % 16) + k % 4] |=
                        static_cast<uint8_t>(r < 16 ? code : code << 4);
                }
            }
        }
    }

    IntPanel panel(int64_t p) const {
        IntPanel panel{packed_.data() + p * panel_bytes(),
                       ones_.data() + p * kPanelOutputs,
                       zeros_.data() + p * kPanelOutputs,
                       code_sums_.data() + p * kPanelOutputs,
                       nullptr,
                       w_bits_ <= 4};
        panel.largest_code = (1 << w_bits_) - 1;
        return panel;
    }

    TokenTile tile_of(const int8_t* codes, int64_t n_tokens) const {
        return {.codes = codes,
                .scales = ones_.data(),
                .offsets = offsets_.data(),
                .offset_sums = offset_sums_.data(),
                .n_tokens = n_tokens,
                .largest_code = 1 << (a_bits_ - 1)};
    }

    void expect_row(const IsaKernels& isa, int64_t t, const float* found) const {
        for (int64_t o = 0; o < n_outputs_; ++o) {
            const int64_t offset = offsets_[static_cast<size_t>(t)];
            const int64_t zero = zeros_[static_cast<size_t>(o)];
            int64_t sum = 0;
            for (int64_t k = 0; k < n_inputs_; ++k) {
                sum += (activations_[static_cast<size_t>(t * stride() + k)] - offset) *
                       (weights_[weight_at(o, k)] - zero);
            }
            ASSERT_EQ(found[o], static_cast<float>(sum))
                << isa.name << ": W" << w_bits_ << "A" << a_bits_ << ", " << steps_
                << " steps, token " << t << " of " << n_tokens_ << ", output " << o << " of "
                << n_outputs_ << ", temper " << temper_;
        }
    }

    std::mt19937 random_;
    int w_bits_, a_bits_, temper_;
    int64_t steps_, n_panels_, n_tokens_, n_outputs_, n_inputs_;
    std::vector<uint8_t> weights_, packed_;  // [outputs, 4 steps]; as IntPanel says
    std::vector<int8_t> activations_;        // [tokens, stride]
    std::vector<float> ones_;
    std::vector<int32_t> zeros_, code_sums_, offsets_, offset_sums_;
};

// Stops at the first wrong sum.
inline void check_random_products(const IsaKernels& isa, uint32_t first_seed, uint32_t count) {
    for (uint32_t seed = first_seed; seed < first_seed + count; ++seed) {
        const RandomProduct product(seed);
        product.check_panels(isa);
        product.check_row(isa);
        if (::testing::Test::HasFatalFailure()) {
            ADD_FAILURE() << "seed " << seed;
            return;
        }
    }
}

}  // namespace quarot::kernels::cpu
