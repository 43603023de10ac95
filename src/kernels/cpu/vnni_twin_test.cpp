// The integer product of the AVX-512 tier, its instructions emulated, against the scalar tier: the
// same bits on every machine.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <utility>
#include <vector>

#include "kernels/cpu/emulated_avx512_for_tests.h"
#include "kernels/cpu/gemm_int_avx512vnni.h"

namespace quarot::kernels::cpu {
namespace {

// Three panels with all that belongs to them, and 14 rows of codes.
struct Case {
    static constexpr int64_t kSteps = 37, kPanels = 3, kStride = 192;
    bool nibbles;
    std::vector<uint8_t> weights;
    std::vector<int8_t> codes = std::vector<int8_t>(kVnniTokens * kStride, 0);
    std::vector<int8_t> tile = std::vector<int8_t>((kSteps + 16) * 4 * kTileSlots, 0);
    std::vector<float> w_scales, bias, a_scales, bases;
    std::vector<int32_t> zeros, code_sums, offsets, offset_sums;

    explicit Case(bool n) : nibbles(n) {
        std::mt19937 random(7);
        const auto fill = [&](auto& values, size_t size, int lo, int hi) {
            values.resize(size);
            for (auto& value : values) {
                value = static_cast<std::decay_t<decltype(value)>>(
                    lo + static_cast<int>(random() % static_cast<uint32_t>(hi - lo + 1)));
            }
        };
        fill(weights, kPanels * panel_bytes() + 8192, 0, 255);  // prefetching looks ahead
        for (size_t i = 0; i < codes.size(); ++i) {
            if (i % kStride < 4 * kSteps) codes[i] = static_cast<int8_t>(random() % 256);
        }
        fill(w_scales, kPanels * kPanelOutputs, 1, 9);
        fill(bias, kPanels * kPanelOutputs, -99, 99);
        fill(a_scales, kVnniTokens, 1, 9);
        fill(bases, kVnniTokens, -9, 9);
        fill(zeros, kPanels * kPanelOutputs, 0, 15);
        fill(code_sums, kPanels * kPanelOutputs, 0, 3000);
        fill(offsets, kVnniTokens, -20, 20);
        fill(offset_sums, kVnniTokens, -900, 900);
        for (auto* floats : {&w_scales, &a_scales, &bases}) {
            for (float& x : *floats) x /= 7.0f;
        }
        scalar_kernels().pack_tile(codes.data(), kStride, kVnniTokens, kSteps, tile.data());
    }

    int64_t panel_bytes() const { return kSteps * (nibbles ? 64 : 128); }
    IntPanel panel(bool with_bias) const {
        return {weights.data(),
                w_scales.data(),
                zeros.data(),
                code_sums.data(),
                with_bias ? bias.data() : nullptr,
                nibbles};
    }
    TokenTile tokens(const int8_t* from, int64_t n, bool asymmetric, bool real) const {
        return {.codes = from,
                .scales = a_scales.data(),
                .offsets = asymmetric ? offsets.data() : nullptr,
                .offset_sums = offset_sums.data(),
                .n_tokens = n,
                .bases = real ? bases.data() : nullptr,
                .n_inputs = 4 * kSteps};
    }
};

// All ways to finish sums: as many as a bit each.
constexpr int kWays = 16;

struct Way {
    bool bias, accumulate, asymmetric, real;
    explicit Way(int bits)
        : bias((bits & 1) != 0),
          accumulate((bits & 2) != 0),
          asymmetric((bits & 4) != 0),
          real((bits & 8) != 0) {}
};

TEST(VnniTwin, PanelsTimesTilesGiveTheBitsOfTheScalarTier) {
    for (const bool nibbles : {false, true}) {
        const Case c(nibbles);
        for (int bits = 0; bits < kWays; ++bits) {
            const Way way(bits);
            for (const int64_t n_tokens : {1, 3, kVnniTokens}) {
                for (const int64_t n_outputs : {32, 17, 5}) {
                    std::vector<float> expected(kVnniTokens * 40, 3.0f), found = expected;
                    const auto tokens = c.tokens(c.tile.data(), n_tokens, way.asymmetric, way.real);
                    const auto out = [&](std::vector<float>& to) {
                        return FloatOut{to.data(), 40, n_outputs, way.accumulate};
                    };
                    scalar_kernels().int_panel(c.panel(way.bias), Case::kSteps, tokens, n_tokens, 0,
                                               out(expected));
                    int_panel_vnni(c.panel(way.bias), Case::kSteps, tokens, n_tokens, 0,
                                   out(found));
                    ASSERT_EQ(found, expected) << "nibbles " << nibbles << ", way " << bits << ", "
                                               << n_tokens << " tokens, " << n_outputs;
                }
            }
        }
    }
}

struct SegmentWay {
    bool nibbles, asymmetric, real;
    explicit SegmentWay(int bits)
        : nibbles((bits & 1) != 0), asymmetric((bits & 2) != 0), real((bits & 4) != 0) {}
};

// Of the outputs of a panel, over its first steps.
std::vector<int32_t> sums_of_codes(const IntPanel& panel, int64_t n_steps) {
    std::vector<int32_t> sums(kPanelOutputs);
    for (int64_t k = 0; k < n_steps; ++k) {
        for (int64_t o = 0; o < kPanelOutputs; ++o) {
            for (int64_t j = 0; j < 4; ++j) {
                const int64_t step = k * (panel.nibbles ? 64 : 128);
                const uint8_t byte = panel.codes[step + 4 * (panel.nibbles ? o % 16 : o) + j];
                const int code = !panel.nibbles ? byte : o < 16 ? byte & 15 : byte >> 4;
                sums[static_cast<size_t>(o)] += code;
            }
        }
    }
    return sums;
}

// Three segments of a panel, and the same tokens twice, as two tiles.
void check_segments(const SegmentWay& way, int64_t n_tokens) {
    Case c(way.nibbles);
    std::vector<float> expected(kVnniSegmentTile * kPanelOutputs, 3.0f);
    std::vector<IntPanel> panels;
    std::vector<TokenTile> tiles;
    std::vector<float> base_scales(3 * kPanelOutputs);
    for (const auto& [first, n_steps] : {std::pair{0, 5}, {5, 1}, {6, 31}}) {
        IntPanel panel = c.panel(false);
        panel.codes += first * (way.nibbles ? 64 : 128);
        panel.scales += panels.size();
        TokenTile tile =
            c.tokens(c.tile.data() + first * 4 * kTileSlots, n_tokens, way.asymmetric, way.real);
        tile.scales = c.w_scales.data() + panels.size();
        tile.n_steps = n_steps;
        float* const base_scale = base_scales.data() + panels.size() * kPanelOutputs;
        for (int64_t o = 0; o < kPanelOutputs; ++o) {
            const int64_t sum = panel.code_sums[o] - tile.n_inputs * panel.zeros[o];
            base_scale[o] = static_cast<float>(sum) * panel.scales[o];
        }
        panel.base_scales = base_scale;
        scalar_kernels().int_panel(panel, n_steps, tile, n_tokens, 0,
                                   {expected.data(), kPanelOutputs, kPanelOutputs, true});
        panels.push_back(panel);
        tiles.push_back(tile);
    }
    tiles.insert(tiles.end(), tiles.begin(), tiles.begin() + 3);
    constexpr int64_t kTile = kVnniSegmentTile * kPanelOutputs;
    std::vector<float> found(2 * kTile, 3.0f);
    int_segments_vnni({panels.data(), tiles.data(), 3, 2, 3 * sizeof(TokenTile)}, found.data());
    for (const auto from : {found.begin(), found.begin() + kTile}) {
        ASSERT_EQ(std::vector<float>(from, from + kTile), expected)
            << "nibbles " << way.nibbles << ", offsets " << way.asymmetric << ", bases " << way.real
            << ", " << n_tokens << " tokens";
    }
}

// Three segments of a panel times one token. Stored sums of codes are there for the segment alone
// that does not have all inputs of its steps.
void check_row_of_segments(const SegmentWay& way) {
    Case c(way.nibbles);
    std::vector<float> expected(kPanelOutputs, 3.0f), found = expected;
    std::vector<IntPanel> panels;
    std::vector<TokenTile> tokens;
    std::vector<std::vector<int32_t>> sums;
    for (const auto& [first, n_steps] : {std::pair{0, 5}, {5, 1}, {6, 31}}) {
        IntPanel panel = c.panel(false);
        panel.codes += first * (way.nibbles ? 64 : 128);
        panel.scales += panels.size();
        sums.push_back(sums_of_codes(panel, n_steps));
        panel.code_sums = sums.back().data();
        TokenTile row = c.tokens(c.codes.data() + 4 * first, 1, way.asymmetric, way.real);
        row.scales = c.w_scales.data() + panels.size();
        row.n_steps = n_steps;
        const bool shares_step = n_steps == 1;
        row.n_inputs = 4 * n_steps - (shares_step ? 1 : 0);
        scalar_kernels().int_row(panel, 1, 0, n_steps, row,
                                 {expected.data(), 0, kPanelOutputs, true});
        if (!shares_step) panel.code_sums = nullptr;
        panels.push_back(panel);
        tokens.push_back(row);
    }
    int_segments_row_vnni({panels.data(), tokens.data(), 3}, found.data());
    ASSERT_EQ(found, expected) << "nibbles " << way.nibbles << ", offsets " << way.asymmetric
                               << ", bases " << way.real;
}

TEST(VnniTwin, SegmentsGiveTheBitsOfTheScalarTier) {
    for (int bits = 0; bits < 8; ++bits) {
        for (const int64_t n_tokens : {1, 3, 6, 11, kVnniSegmentTile}) {
            check_segments(SegmentWay(bits), n_tokens);
        }
        check_row_of_segments(SegmentWay(bits));
    }
}

TEST(VnniTwin, RowsGiveTheBitsOfTheScalarTier) {
    for (const bool nibbles : {false, true}) {
        const Case c(nibbles);
        for (int bits = 0; bits < kWays; ++bits) {
            const Way way(bits);
            std::vector<float> expected(3 * kPanelOutputs, 3.0f), found = expected;
            const auto row = c.tokens(c.codes.data(), 1, way.asymmetric, way.real);
            const auto out = [&](std::vector<float>& to) {
                return FloatOut{to.data(), 0, 3 * kPanelOutputs - 7, way.accumulate};
            };
            scalar_kernels().int_row(c.panel(way.bias), 3, c.panel_bytes(), Case::kSteps, row,
                                     out(expected));
            int_row_vnni(c.panel(way.bias), 3, c.panel_bytes(), Case::kSteps, row, out(found));
            ASSERT_EQ(found, expected) << "nibbles " << nibbles << ", way " << bits;
        }
    }
}

TEST(VnniTwin, PacksAsTheScalarTier) {
    const Case c(true);
    std::vector<int8_t> tile(c.tile.size(), 0);
    pack_tile_avx512(c.codes.data(), Case::kStride, kVnniTokens, Case::kSteps, tile.data());
    for (int64_t step = 0; step < Case::kSteps; ++step) {
        for (int64_t i = 0; i < 4 * kVnniTokens; ++i) {
            const auto at = static_cast<size_t>(step * 4 * kTileSlots + i);
            ASSERT_EQ(tile[at], c.tile[at]) << "step " << step << ", byte " << i;
        }
    }
}

}  // namespace
}  // namespace quarot::kernels::cpu
