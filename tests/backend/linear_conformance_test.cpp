// Do linear layers of whole rows, in every combination of operand and weight, agree with the
// reference?
#include "backend/linear_case.h"

namespace quarot::backend_test {
namespace {

using namespace kernels;

TEST_P(LinearConformance, QuantizedTimesQuantizedAtEveryShape) {
    for (const LinearShape& shape : kLinearShapes) {
        for (const auto& [w, a] : {std::pair{4, 4}, {4, 8}, {8, 8}, {8, 4}}) {
            for (const bool extras : {false, true}) {
                if (!check({.shape = shape,
                            .weights = {.bits = w},
                            .activations = {.bits = a, .clip = 0.9f},
                            .bias = extras,
                            .accumulate = extras})) {
                    return;
                }
            }
        }
    }
}

TEST_P(LinearConformance, EveryPairOfWidthsSymmetricOrNot) {
    for (const int w : kBits) {
        for (const int a : kBits) {
            for (const bool w_symmetric : {true, false}) {
                for (const bool a_symmetric : {true, false}) {
                    if (!check({.shape = {3, 172, 40},
                                .weights = {.bits = w, .symmetric = w_symmetric},
                                .activations = {.bits = a, .symmetric = a_symmetric},
                                .bias = true})) {
                        return;
                    }
                }
            }
        }
    }
}

TEST_P(LinearConformance, RealZeroPointsOfWholeRows) {
    for (const LinearShape& shape : kLinearShapes) {
        for (const auto& [w, a] : {std::pair{4, 4}, {8, 8}, {3, 2}, {16, 4}}) {
            if (w == 16 && shape.rows * shape.in > 2000) continue;
            for (const bool extras : {false, true}) {
                if (!check({.shape = shape,
                            .weights = {.bits = w, .symmetric = !extras},
                            .activations = {.bits = a,
                                            .symmetric = false,
                                            .clip = 0.9f,
                                            .zero = ZeroPoint::Real},
                            .bias = extras,
                            .accumulate = extras})) {
                    return;
                }
            }
        }
    }
}

TEST_P(LinearConformance, TempersOfActivations) {
    for (const Temper temper : kTempers) {
        for (const int a : {2, 4, 8}) {
            for (const bool symmetric : {true, false}) {
                if (!check({.shape = {4, 128, 19},
                            .weights = {.bits = 4, .symmetric = symmetric},
                            .activations = {.bits = a, .symmetric = symmetric},
                            .temper = temper})) {
                    return;
                }
            }
        }
    }
}

// So wide that the packed rows of one pass are fewer than there are: each pass begins at a row of
// its own, in codes, scales, offsets, sums and outputs alike.
TEST_P(LinearConformance, MoreRowsThanOnePassTakes) {
    for (const bool symmetric : {true, false}) {
        for (const ZeroPoint zero : {ZeroPoint::Integer, ZeroPoint::Real}) {
            if (symmetric && zero == ZeroPoint::Real) continue;
            if (!check({.shape = {40, 28672, 5},
                        .weights = {.bits = 4, .symmetric = symmetric},
                        .activations = {.bits = 4, .symmetric = symmetric, .zero = zero},
                        .accumulate = true})) {
                return;
            }
        }
    }
}

// Every product at the end of its range and of one sign: the largest sums the paper's widths give.
TEST_P(LinearConformance, LargestSumsStayExact) {
    for (const bool symmetric : {true, false}) {
        for (const int64_t in : {11008, 28672}) {
            if (!check({.shape = {2, in, 3},
                        .weights = {.bits = 8, .symmetric = symmetric, .all_extreme = true},
                        .activations = {.bits = 8, .symmetric = symmetric},
                        .temper = Temper::Constant})) {
                return;
            }
        }
    }
}

// A whole row of 8-bit asymmetric codes on both sides leaves 32 bits at 33,026 inputs.
TEST_P(LinearConformance, SumsOfWholeRowsBeyond32Bits) {
    for (const int64_t rows : {1, 2}) {
        if (!check({.shape = {rows, 40'000, 3},
                    .weights = {.bits = 8, .symmetric = false, .all_extreme = true},
                    .activations = {.bits = 8, .symmetric = false},
                    .temper = Temper::Constant})) {
            return;
        }
    }
}

// Codes of 8 bits among those of 4, as large as they get, wherever sums of few bits are taken.
TEST_P(LinearConformance, FirstPositionsAmongOthers) {
    for (const int64_t rows : {1, 40}) {
        for (const int64_t group : {0, 512}) {
            for (const int w : {4, 8, 16}) {
                for (const bool symmetric : {true, false}) {
                    if (!check(
                            {.shape = {rows, 4096, 5},
                             .weights = {.bits = w, .symmetric = symmetric, .all_extreme = w != 16},
                             .activations = {.bits = 4,
                                             .group_size = group,
                                             .symmetric = symmetric,
                                             .first_positions = 2},
                             .temper = w == 16 ? Temper::Normal : Temper::Constant})) {
                        return;
                    }
                }
            }
        }
    }
}

TEST_P(LinearConformance, DenseWeightsOfEveryDtype) {
    for (const LinearShape& shape : kLinearShapes) {
        for (const DType dtype : {DType::F32, DType::F16, DType::BF16}) {
            if (!check({.shape = shape,
                        .weights = {.dtype = dtype},
                        .bias = dtype != DType::F32,
                        .accumulate = dtype == DType::BF16})) {
                return;
            }
        }
    }
}

// Each tensor goes once it is handed over, so that the next one has its address. Weights known by
// address alone would be those of a tensor that is gone.
TEST_P(LinearConformance, DenseWeightsOfTensorsThatAreGone) {
    Bench bench(*subject_);
    Matrix one(1, 1);
    one.values = {1.0f};
    const Operand in{bench.upload(one)};
    std::vector<std::unique_ptr<Linear>> linears;
    for (int i = 0; i < 8; ++i) {
        auto tensor = std::make_shared<Tensor>(DType::F32, Shape{1, 1});
        tensor->as<float>()[0] = static_cast<float>(i);
        LinearWeights weights;
        weights.matrix = std::move(tensor);
        linears.push_back(subject_->prepare_linear(std::move(weights)));
    }
    for (size_t i = 0; i < linears.size(); ++i) {
        const Rows out = bench.blank(1, 1);
        subject_->linear({.in = in, .weight = *linears[i], .out = out});
        EXPECT_EQ(bench.download(out).values.front(), static_cast<float>(i));
    }
}

TEST_P(LinearConformance, OneSideQuantized) {
    for (const LinearShape& shape : kLinearShapes) {
        for (const int bits : {3, 4, 8}) {
            const bool symmetric = bits != 8;
            if (!check({.shape = shape,
                        .weights = {.bits = bits, .symmetric = symmetric},
                        .bias = true}) ||
                !check({.shape = shape,
                        .weights = {.dtype = DType::BF16},
                        .activations = {.bits = bits, .symmetric = symmetric},
                        .accumulate = true})) {
                return;
            }
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Fast, LinearConformance, testing::ValuesIn(fast_backends()),
                         testing::PrintToStringParamName());

}  // namespace
}  // namespace quarot::backend_test
