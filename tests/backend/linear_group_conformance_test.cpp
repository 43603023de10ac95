// Do linear layers of weights and activations in groups agree with the reference?
#include "backend/linear_case.h"

namespace quarot::backend_test {
namespace {

using namespace kernels;

struct WeightForm {
    int64_t group;
    bool zero_points;
};

class LinearGroupConformance : public LinearConformance {
  protected:
    // Weights behind one operand give together the bits of each alone.
    void check_together(const std::vector<WeightForm>& forms);
};
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(LinearGroupConformance);

// The three ways to keep activations.
constexpr ActivationFormat kActivationWays[] = {
    {.symmetric = true}, {.symmetric = false}, {.symmetric = false, .zero = ZeroPoint::Real}};

ActivationFormat way(ActivationFormat format, int bits, int64_t group_size) {
    format.bits = bits;
    format.group_size = group_size;
    return format;
}

TEST_P(LinearGroupConformance, GroupsOfWeightsActivationsOrBoth) {
    struct Groups {
        int64_t in, w, a;
    };
    const Groups groups[] = {{576, 64, 64},  {576, 64, 0},    {576, 0, 64}, {768, 128, 32},
                             {768, 32, 128}, {768, 128, 128}, {90, 30, 45}, {64, 64, 64},
                             {96, 16, 16},   {172, 43, 0}};
    for (const Groups& g : groups) {
        for (const int64_t rows : {1, 7, 33}) {
            for (const bool symmetric : {true, false}) {
                for (const auto& [w, a] : {std::pair{4, 4}, {3, 8}, {8, 8}, {4, 16}, {16, 4}}) {
                    if (rows == 33 && (w == 16 || a == 16)) continue;
                    if (!check({.shape = {rows, g.in, 23},
                                .weights = {.bits = w, .group_size = g.w, .symmetric = symmetric},
                                .activations = {
                                    .bits = a, .group_size = g.a, .symmetric = symmetric}})) {
                        return;
                    }
                }
            }
        }
    }
}

// As MoreRowsThanOnePassTakes.
TEST_P(LinearGroupConformance, MoreRowsThanOnePassTakesInGroups) {
    for (const ActivationFormat& format : kActivationWays) {
        if (!check({.shape = {40, 28672, 5},
                    .weights = {.bits = 4, .group_size = 1024, .symmetric = false},
                    .activations = way(format, 4, 512),
                    .accumulate = true})) {
            return;
        }
    }
}

TEST_P(LinearGroupConformance, GroupsOfEveryPairOfSizes) {
    struct Sizes {
        int64_t in, w, a;
    };
    const Sizes sizes[] = {{768, 32, 32},   {768, 64, 64}, {768, 128, 128}, {768, 256, 256},
                           {768, 0, 32},    {768, 64, 0},  {768, 256, 32},  {768, 32, 256},
                           {768, 128, 192}, {90, 15, 45},  {90, 45, 15},    {90, 15, 0},
                           {90, 0, 45},     {90, 18, 15},  {60, 1, 2},      {12, 4, 3},
                           {768, 768, 768}, {768, 768, 0}};
    for (const Sizes& s : sizes) {
        for (const int64_t rows : kRowCounts) {
            for (const ActivationFormat& format : kActivationWays) {
                for (const bool extras : {false, true}) {
                    if (!check({.shape = {rows, s.in, 150},
                                .weights = {.bits = 4, .group_size = s.w, .symmetric = !extras},
                                .activations = way(format, extras ? 8 : 4, s.a),
                                .bias = extras,
                                .accumulate = extras})) {
                        return;
                    }
                }
            }
        }
    }
}

// Real zero points of activations, zero points of weights; of rows of one value the sums of short
// groups are as large as they get.
TEST_P(LinearGroupConformance, ZeroPointsOnBothSides) {
    struct Groups {
        int64_t in, w, a;
    };
    const Groups groups[] = {{768, 64, 32},    {768, 128, 32}, {768, 64, 64}, {720, 180, 180},
                             {1024, 512, 512}, {90, 18, 15},   {2304, 64, 32}};
    for (const Groups& g : groups) {
        for (const int64_t rows : {1, 5, 12, 13, 33}) {
            for (const Temper temper : {Temper::Normal, Temper::Constant}) {
                for (const int64_t first_positions : {0, 2}) {
                    ActivationFormat format = way(kActivationWays[2], 4, g.a);
                    format.first_positions = first_positions;
                    if (!check({.shape = {rows, g.in, 75},
                                .weights = {.bits = 4, .group_size = g.w, .symmetric = false},
                                .activations = format,
                                .temper = temper,
                                .bias = rows == 5,
                                .accumulate = rows == 13})) {
                        return;
                    }
                }
            }
        }
    }
}

TEST_P(LinearGroupConformance, EveryPairOfWidthsInGroups) {
    for (const int w : kBits) {
        for (const int a : kBits) {
            for (const bool symmetric : {true, false}) {
                for (const ActivationFormat& format : kActivationWays) {
                    if (!check({.shape = {3, 128, 40},
                                .weights = {.bits = w, .group_size = 32, .symmetric = symmetric},
                                .activations = way(format, a, 64),
                                .bias = true})) {
                        return;
                    }
                }
            }
        }
    }
}

TEST_P(LinearGroupConformance, FloatActivationsTimesGroupsOfWeights) {
    for (const auto& [in, group] : {std::pair{768, 32},
                                    {768, 64},
                                    {768, 256},
                                    {576, 64},
                                    {576, 192},
                                    {90, 15},
                                    {90, 45},
                                    {12, 3}}) {
        for (const int64_t rows : kRowCounts) {
            for (const int bits : kBits) {
                if (!check(
                        {.shape = {rows, in, 75},
                         .weights = {.bits = bits, .group_size = group, .symmetric = bits % 2 == 0},
                         .bias = rows == 3,
                         .accumulate = rows == 15})) {
                    return;
                }
            }
        }
    }
}

// Groups do not include 0, so far-off values give large offsets.
TEST_P(LinearGroupConformance, TempersOfActivationGroups) {
    for (const Temper temper : kTempers) {
        for (const int64_t w_group : {0, 64}) {
            for (const ActivationFormat& format : kActivationWays) {
                if (!check({.shape = {4, 128, 19},
                            .weights = {.bits = 8,
                                        .group_size = w_group,
                                        .symmetric = format.symmetric},
                            .activations = way(format, 8, 64),
                            .temper = temper})) {
                    return;
                }
            }
        }
    }
}

// Groups far from 0 have offsets of up to 32000: sums of long groups need more than 32 bits.
TEST_P(LinearGroupConformance, LargestSumsOfGroupsStayExact) {
    for (const auto& [in, group] :
         {std::pair{512, 256}, {512, 512}, {11008, 2752}, {12288, 4096}, {12288, 0}}) {
        for (const int64_t rows : {1, 16}) {
            for (const ActivationFormat& format : kActivationWays) {
                for (const Temper temper : {Temper::FarOff, Temper::Constant}) {
                    if (!check({.shape = {rows, in, 35},
                                .weights = {.bits = 8,
                                            .group_size = group,
                                            .symmetric = false,
                                            .all_extreme = true},
                                .activations = way(format, 8, group),
                                .temper = temper})) {
                        return;
                    }
                }
            }
        }
    }
}

void LinearGroupConformance::check_together(const std::vector<WeightForm>& forms) {
    constexpr int64_t kIn = 128, kOut = 70;
    for (const int64_t rows : kRowCounts) {
        Rng rng(static_cast<uint32_t>(rows));
        Bench bench(*subject_);
        const Matrix in = normal_matrix(rows, kIn, rng);
        const Operand x{bench.quantize(in, {.bits = 4, .group_size = 32, .symmetric = false})};
        std::vector<std::unique_ptr<Linear>> weights;
        std::vector<const Linear*> all;
        std::vector<Rows> plain, together;
        for (const WeightForm& form : forms) {
            LinearWeights w;
            w.matrix = random_quantized(kOut, kIn, 4, form.group, form.zero_points, rng);
            w.activation_group = 32;
            weights.push_back(subject_->prepare_linear(std::move(w)));
            all.push_back(weights.back().get());
            plain.push_back(bench.blank(rows, kOut));
            together.push_back(bench.blank(rows, kOut));
            subject_->linear({.in = x, .weight = *all.back(), .out = plain.back()});
        }
        subject_->linear_group({.in = x, .weights = all, .outs = together});
        for (size_t i = 0; i < all.size(); ++i) {
            ASSERT_TRUE(same(bench.download(plain[i]).values, bench.download(together[i]).values))
                << "seed " << rows << " weight " << i;
        }
    }
}

TEST_P(LinearGroupConformance, LinearGroupOfMixedGroups) {
    check_together({{0, false}, {64, true}, {64, true}, {32, false}, {0, false}});
}

// As many as one launch takes.
TEST_P(LinearGroupConformance, LinearGroupWithAndWithoutZeroPoints) {
    check_together({{0, false}, {0, true}, {0, false}});
    check_together({{64, true}, {64, false}});
}

INSTANTIATE_TEST_SUITE_P(Fast, LinearGroupConformance, testing::ValuesIn(fast_backends()),
                         testing::PrintToStringParamName());

}  // namespace
}  // namespace quarot::backend_test
