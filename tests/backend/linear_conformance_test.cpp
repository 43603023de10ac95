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
    bool all_extreme = false;  // every code the largest, zero points 0
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
        "{}, temper {}, bias {}, accumulate {}",
        seed, c.shape.rows, c.shape.in, c.shape.out, c.weights.bits, c.weights.group_size,
        c.weights.symmetric, name_of(c.weights.dtype), c.activations.bits, c.activations.group_size,
        c.activations.symmetric, static_cast<int>(c.temper), c.bias, c.accumulate);
}

struct Inputs {
    Matrix in;
    LinearWeights weights;
    Matrix before;  // what `out` holds when products are added to it
};

void make_extreme(QuantizedMatrix& m, bool symmetric) {
    const uint8_t stored = symmetric ? 0 : static_cast<uint8_t>((1 << m.bits) - 1);
    const std::vector<uint8_t> row(static_cast<size_t>(m.cols), stored);
    for (int64_t r = 0; r < m.rows; ++r) {
        m.pack_row(r, row);
        if (!symmetric) m.zero_points.as<uint8_t>()[r] = 0;
    }
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
            for (const bool symmetric : {true, false}) {
                if (!check({.shape = {4, 128, 19},
                            .weights = {.bits = 8, .group_size = w_group, .symmetric = symmetric},
                            .activations = {.bits = 8, .group_size = 64, .symmetric = symmetric},
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
