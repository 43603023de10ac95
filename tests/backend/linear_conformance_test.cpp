// Do linear layers of every combination of operand and weight agree with the reference: equal where
// both sides are integers, within a dot product's error elsewhere?
#include <fmt/format.h>

#include "backend/cases.h"
#include "backend/subject.h"

namespace quarot::backend_test {
namespace {

using namespace kernels;

struct Weights {
    int bits = 16;  // 16: dense
    int64_t group_size = 0;
    bool symmetric = true;
    DType dtype = DType::F32;
    bool all_extreme = false;  // every code the largest, zero points and scales alike
};

struct Case {
    LinearShape shape;
    Weights weights;
    ActivationFormat activations;  // 16 bits: fp32 rows
    Temper temper = Temper::Normal;
    bool bias = false;
    bool accumulate = false;
};

std::string describe(const Case& c, uint32_t seed) {
    return fmt::format(
        "seed {}: {} x {} -> {}, W {} bits group {} symmetric {} {}, A {} bits group {} symmetric "
        "{} {}, temper {}, bias {}, accumulate {}",
        seed, c.shape.rows, c.shape.in, c.shape.out, c.weights.bits, c.weights.group_size,
        c.weights.symmetric, name_of(c.weights.dtype), c.activations.bits, c.activations.group_size,
        c.activations.symmetric, c.activations.zero == ZeroPoint::Real ? "real" : "integer",
        static_cast<int>(c.temper), c.bias, c.accumulate);
}

struct Inputs {
    Matrix in;
    LinearWeights weights;
    Matrix before;  // what `out` holds when products are added to it
};

void make_extreme(QuantizedMatrix& m, bool symmetric) {
    const uint8_t stored = static_cast<uint8_t>(symmetric ? 0 : (1 << m.bits) - 1);
    const std::vector<uint8_t> row(static_cast<size_t>(m.cols), stored);
    for (int64_t r = 0; r < m.rows; ++r) {
        m.pack_row(r, row);
    }
    if (symmetric) return;
    for (int64_t i = 0; i < m.rows * m.n_groups(); ++i) m.zero_points.as<uint8_t>()[i] = 0;
}

// Equal for equal seeds; made anew for every backend because weights are handed over.
Inputs make_inputs(const Case& c, uint32_t seed) {
    Rng rng(seed);
    Inputs inputs;
    inputs.in = make_matrix(c.temper, c.shape.rows, c.shape.in, rng);
    if (c.weights.bits == 16) {
        inputs.weights.matrix = random_dense(c.shape.out, c.shape.in, c.weights.dtype, rng);
    } else {
        inputs.weights.matrix = random_quantized(c.shape.out, c.shape.in, c.weights.bits,
                                                 c.weights.group_size, c.weights.symmetric, rng);
    }
    if (c.weights.all_extreme) {
        make_extreme(std::get<QuantizedMatrix>(inputs.weights.matrix), c.weights.symmetric);
    }
    if (c.bias) inputs.weights.bias = normal_vector(c.shape.out, rng);
    inputs.weights.activation_group = c.activations.group_size;
    inputs.before = normal_matrix(c.shape.rows, c.shape.out, rng);
    return inputs;
}

Matrix run(Backend& backend, const Case& c, uint32_t seed) {
    Inputs inputs = make_inputs(c, seed);
    Bench bench(backend);
    const auto linear = backend.prepare_linear(std::move(inputs.weights));
    Operand in{bench.upload(inputs.in, c.shape.rows == 3 ? 8 : 0)};
    if (c.activations.bits != 16) in.rows = bench.quantize(inputs.in, c.activations);
    const Rows out =
        c.accumulate ? bench.upload(inputs.before, 3) : bench.blank(c.shape.rows, c.shape.out, 3);
    backend.linear({.in = in, .weight = *linear, .out = out, .accumulate = c.accumulate});
    return bench.download(out);
}

// Sum of |x w| of every output, from the values that are multiplied, plus |bias| and |before|.
Matrix norms(Backend& reference, const Case& c, uint32_t seed) {
    Inputs inputs = make_inputs(c, seed);
    Matrix x = inputs.in, w;
    if (c.activations.bits != 16) {
        Bench bench(reference);
        const Codes codes = bench.download(bench.quantize(inputs.in, c.activations));
        const int64_t group = c.activations.group_size == 0 ? c.shape.in : c.activations.group_size;
        for (size_t i = 0; i < x.values.size(); ++i) {
            const size_t g = i / static_cast<size_t>(group);
            const int offset = codes.offsets.empty() ? 0 : codes.offsets[g];
            x.values[i] = codes.scales[g] * static_cast<float>(codes.codes[i] - offset);
            // The products with codes and with bases are rounded apart from one another.
            if (!codes.bases.empty()) {
                x.values[i] = std::fabs(x.values[i]) + std::fabs(codes.bases[g]);
            }
        }
    }
    if (const auto* q = std::get_if<QuantizedMatrix>(&inputs.weights.matrix)) {
        w = Matrix(c.shape.out, c.shape.in);
        for (int64_t r = 0; r < w.rows; ++r) {
            q->dequantize_row(r, {w.row(r), static_cast<size_t>(w.cols)});
        }
    } else {
        w = values_of(*std::get<std::shared_ptr<const Tensor>>(inputs.weights.matrix));
    }
    Matrix out(c.shape.rows, c.shape.out);
    for (int64_t r = 0; r < out.rows; ++r) {
        for (int64_t o = 0; o < out.cols; ++o) {
            double sum = std::fabs(inputs.before.row(r)[o]);
            for (int64_t k = 0; k < x.cols; ++k) sum += std::fabs(1.0 * x.row(r)[k] * w.row(o)[k]);
            if (c.bias) sum += std::fabs(inputs.weights.bias[static_cast<size_t>(o)]);
            out.row(r)[o] = static_cast<float>(sum);
        }
    }
    return out;
}

class LinearConformance : public FastBackend {
  protected:
    // False: stop here.
    bool check(const Case& c) {
        const uint32_t seed = ++seed_;
        SCOPED_TRACE(describe(c, seed));
        const auto result = unless_unsupported([&] { return run(*subject_, c, seed); });
        if (!result) return true;
        const Matrix expected = run(*reference_, c, seed);
        const Matrix& actual = *result;
        if (c.weights.bits != 16 && c.activations.bits != 16) {
            EXPECT_TRUE(same(expected.values, actual.values));
        } else {
            const Matrix norm = norms(*reference_, c, seed);
            EXPECT_TRUE(near(expected.values, actual.values,
                             [&](size_t i) { return dot_limit(c.shape.in, norm.values[i]); }));
        }
        return !HasFailure();
    }

  private:
    uint32_t seed_ = 0;
};
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(LinearConformance);

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

TEST_P(LinearConformance, GroupsOfWeightsActivationsOrBoth) {
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

// The three ways to keep activations.
constexpr ActivationFormat kWays[] = {
    {.symmetric = true}, {.symmetric = false}, {.symmetric = false, .zero = ZeroPoint::Real}};

ActivationFormat way(ActivationFormat format, int bits, int64_t group_size) {
    format.bits = bits;
    format.group_size = group_size;
    return format;
}

TEST_P(LinearConformance, GroupsOfEveryPairOfSizes) {
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
            for (const ActivationFormat& format : kWays) {
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

TEST_P(LinearConformance, EveryPairOfWidthsInGroups) {
    for (const int w : kBits) {
        for (const int a : kBits) {
            for (const bool symmetric : {true, false}) {
                for (const ActivationFormat& format : kWays) {
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

TEST_P(LinearConformance, FloatActivationsTimesGroupsOfWeights) {
    for (const auto& [in, group] :
         {std::pair{768, 32}, {768, 64}, {768, 256}, {90, 15}, {90, 45}, {12, 3}}) {
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

// Groups do not include 0, so far-off values give large offsets.
TEST_P(LinearConformance, TempersOfActivationGroups) {
    for (const Temper temper : kTempers) {
        for (const int64_t w_group : {0, 64}) {
            for (const ActivationFormat& format : kWays) {
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

// Groups far from 0 have offsets of up to 32000: sums of long groups need more than 32 bits.
TEST_P(LinearConformance, LargestSumsOfGroupsStayExact) {
    for (const auto& [in, group] :
         {std::pair{512, 256}, {512, 512}, {11008, 2752}, {12288, 4096}, {12288, 0}}) {
        for (const int64_t rows : {1, 16}) {
            for (const ActivationFormat& format : kWays) {
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

// Weights of different groups behind one operand.
TEST_P(LinearConformance, LinearGroupOfMixedGroups) {
    constexpr int64_t kIn = 128, kOut = 70;
    for (const int64_t rows : kRowCounts) {
        Rng rng(static_cast<uint32_t>(rows));
        Bench bench(*subject_);
        const Matrix in = normal_matrix(rows, kIn, rng);
        const Operand x{bench.quantize(in, {.bits = 4, .group_size = 32, .symmetric = false})};
        std::vector<std::unique_ptr<Linear>> weights;
        std::vector<const Linear*> all;
        std::vector<Rows> plain, together;
        for (const int64_t group : {0, 64, 64, 32, 0}) {
            LinearWeights w;
            w.matrix = random_quantized(kOut, kIn, 4, group, group == 64, rng);
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
