// Do the operations of the reference backend equal what a few lines of arithmetic, written here
// independently, say?
#include <fmt/format.h>

#include "backend/cases.h"
#include "backend/test_batch.h"
#include "tensor/float_convert.h"

namespace quarot::backend_test {
namespace {

using namespace kernels;

class ReferenceOperations : public testing::Test {
  protected:
    Matrix linear(const Operand& in, LinearWeights weights) {
        const auto prepared = backend_->prepare_linear(std::move(weights));
        const Rows out = bench_.blank(in.n_rows(), prepared->out_features());
        backend_->linear({.in = in, .weight = *prepared, .out = out});
        return bench_.download(out);
    }
    std::unique_ptr<Backend> backend_ = make_reference();
    Bench bench_{*backend_};
};

// W = [[0.5 * (3, -8)], [0.25 * (7, 1)]]
QuantizedMatrix small_weights() {
    QuantizedMatrix m = make_quantized_matrix(2, 2, 4, 0, true);
    m.pack_row(0, std::vector<uint8_t>{3 + 8, 0});
    m.pack_row(1, std::vector<uint8_t>{7 + 8, 1 + 8});
    m.scales.as<float>()[0] = 0.5f;
    m.scales.as<float>()[1] = 0.25f;
    return m;
}

TEST_F(ReferenceOperations, QuantizedLinearByHand) {
    Matrix x(1, 2);
    x.values = {14.0f, -4.0f};  // scale 2, codes 7 and -2
    const Matrix y = linear({bench_.quantize(x, {.bits = 4})}, {small_weights(), {100.0f, 0.0f}});
    EXPECT_EQ(y.values,
              (std::vector<float>{(21 + 16) * 0.5f * 2.0f + 100.0f, (49 - 2) * 0.25f * 2}));
}

TEST_F(ReferenceOperations, OneSidedLinearByHand) {
    Matrix x(1, 2);
    x.values = {14.5f, -4.0f};
    const Matrix y = linear({bench_.upload(x)}, {small_weights(), {}});
    EXPECT_EQ(y.values, (std::vector<float>{14.5f * 1.5f + 16.0f, 14.5f * 1.75f - 1.0f}));
}

TEST_F(ReferenceOperations, AsymmetricBothSidesSubtractBothZeroPoints) {
    QuantizedMatrix m = make_quantized_matrix(1, 4, 3, 2, false);
    m.pack_row(0, std::vector<uint8_t>{0, 7, 5, 1});
    m.scales.as<uint16_t>()[0] = f32_to_f16(0.5f);
    m.scales.as<uint16_t>()[1] = f32_to_f16(2.0f);
    m.zero_points.as<uint8_t>()[0] = 4;
    m.zero_points.as<uint8_t>()[1] = 1;
    Matrix x(1, 4);
    x.values = {1.0f, 4.0f, -30.0f, 0.0f};  // groups (1, 4): scale 1; (-30, 0): scale 10
    const Matrix y = linear({bench_.quantize(x, {.bits = 2, .group_size = 2, .symmetric = false})},
                            {std::move(m), {}});
    // (1 * -4 + 4 * 3) * 0.5 * 1 + (-3 * 4 + 0 * 0) * 2 * 10
    EXPECT_EQ(y.values, (std::vector<float>{4.0f - 240.0f}));
}

// Sums of many groups and all widths against plain loops over 64-bit integers.
TEST_F(ReferenceOperations, QuantizedLinearIsTheStatedExpression) {
    for (const int bits : kBits) {
        for (const bool symmetric : {true, false}) {
            SCOPED_TRACE(fmt::format("seed {} symmetric {}", bits, symmetric));
            Rng rng(static_cast<uint32_t>(bits));
            constexpr int64_t kIn = 576, kOut = 70, kRows = 35, kGroup = 64;
            const QuantizedMatrix w = random_quantized(kOut, kIn, bits, kGroup, symmetric, rng);
            const Matrix x = make_matrix(Temper::FarOff, kRows, kIn, rng);
            const ActivationFormat format{
                .bits = bits, .group_size = kGroup, .symmetric = symmetric};
            const QuantizedRows q = bench_.quantize(x, format);
            const Codes a = bench_.download(q);
            std::vector<float> expected;
            std::vector<uint8_t> stored(kIn);
            for (int64_t i = 0; i < kRows * kOut; ++i) {
                const int64_t r = i / kOut, o = i % kOut;
                w.unpack_row(o, stored);
                float y = 0.0f;
                for (int64_t g = 0; g < kIn / kGroup; ++g) {
                    const auto at = static_cast<size_t>(r * (kIn / kGroup) + g);
                    const int64_t offset = symmetric ? 0 : a.offsets[at];
                    int64_t sum = 0;
                    for (int64_t c = g * kGroup; c < (g + 1) * kGroup; ++c) {
                        const int64_t code = a.codes[static_cast<size_t>(r * kIn + c)];
                        const int64_t q_w = stored[static_cast<size_t>(c)] + w.q_min();
                        sum += (code - offset) * (q_w - w.zero(o, g));
                    }
                    y += (static_cast<float>(sum) * w.scale(o, g)) * a.scales[at];
                }
                expected.push_back(y);
            }
            QuantizedMatrix copy = random_quantized(1, kGroup, bits, 0, symmetric, rng);
            rng.seed(static_cast<uint32_t>(bits));
            copy = random_quantized(kOut, kIn, bits, kGroup, symmetric, rng);
            ASSERT_TRUE(same(expected, linear({q}, {std::move(copy), {}}).values));
        }
    }
}

// Codes and bases put back together in double, times the dequantized weights.
TEST_F(ReferenceOperations, RealZeroPointsMultiplyAsTheirValues) {
    for (const int bits : kBits) {
        for (const auto& [a_group, w_group] : {std::pair{0, 0}, {32, 0}, {0, 64}, {32, 64}}) {
            SCOPED_TRACE(fmt::format("seed {} groups {} {}", bits, a_group, w_group));
            Rng rng(static_cast<uint32_t>(bits));
            constexpr int64_t kIn = 192, kOut = 9, kRows = 4;
            QuantizedMatrix w = random_quantized(kOut, kIn, bits, w_group, bits % 2 == 0, rng);
            Matrix w_values(kOut, kIn);
            for (int64_t o = 0; o < kOut; ++o) {
                w.dequantize_row(o, {w_values.row(o), static_cast<size_t>(kIn)});
            }
            const ActivationFormat format{
                .bits = bits, .group_size = a_group, .symmetric = false, .zero = ZeroPoint::Real};
            const QuantizedRows q =
                bench_.quantize(make_matrix(Temper::FarOff, kRows, kIn, rng), format);
            const Codes a = bench_.download(q);
            const Matrix y = linear({q}, {std::move(w), {}, a_group});
            const int64_t size = a_group == 0 ? kIn : a_group;
            for (int64_t i = 0; i < kRows * kOut; ++i) {
                double sum = 0.0, norm = 0.0;
                for (int64_t k = 0; k < kIn; ++k) {
                    const auto at = static_cast<size_t>(i / kOut * kIn + k);
                    const size_t g = at / static_cast<size_t>(size);
                    const double scaled = 1.0 * a.scales[g] * a.codes[at];
                    const double weight = w_values.row(i % kOut)[k];
                    sum += (scaled + a.bases[g]) * weight;
                    norm += (std::fabs(scaled) + std::fabs(a.bases[g])) * std::fabs(weight);
                }
                ASSERT_NEAR(y.values[static_cast<size_t>(i)], sum, dot_limit(kIn, norm)) << i;
            }
        }
    }
}

TEST_F(ReferenceOperations, DenseLinearReadsEveryDtype) {
    for (const DType dtype : {DType::F32, DType::F16, DType::BF16}) {
        Rng rng(21);
        const auto w = random_dense(37, 90, dtype, rng);
        const Matrix values = values_of(*w), x = normal_matrix(5, 90, rng);
        const std::vector<float> bias = normal_vector(37, rng);
        std::vector<float> expected;
        for (int64_t i = 0; i < 5 * 37; ++i) {
            double sum = 0.0;
            for (int64_t k = 0; k < 90; ++k) {
                sum += static_cast<double>(x.row(i / 37)[k]) * values.row(i % 37)[k];
            }
            expected.push_back(static_cast<float>(sum) + bias[static_cast<size_t>(i % 37)]);
        }
        ASSERT_TRUE(same(expected, linear({bench_.upload(x)}, {w, bias}).values));
    }
}

TEST_F(ReferenceOperations, LinearAddsToWhatIsThere) {
    Rng rng(22);
    const Matrix x = normal_matrix(3, 8, rng), before = normal_matrix(3, 4, rng);
    const auto w = random_dense(4, 8, DType::F32, rng);
    Matrix expected = linear({bench_.upload(x)}, {w, {}});
    for (size_t i = 0; i < expected.values.size(); ++i) expected.values[i] += before.values[i];
    const auto prepared = backend_->prepare_linear({w, {}});
    const Rows out = bench_.upload(before);
    const Operand in{bench_.upload(x)};
    backend_->linear({.in = in, .weight = *prepared, .out = out, .accumulate = true});
    EXPECT_TRUE(same(expected.values, bench_.download(out).values));
}

TEST_F(ReferenceOperations, WeightsThatAreNoFloatsAreRefused) {
    const auto integers = std::make_shared<const Tensor>(DType::I32, Shape{2, 2});
    EXPECT_THROW(backend_->prepare_linear({integers, {}}), Error);
    EXPECT_THROW(backend_->prepare_embedding(integers), Error);
}

// T (x) I written out as a matrix from the mixer's own factors.
std::vector<double> written_out(const linalg::Mixer& mixer) {
    const int64_t n = mixer.n, m = mixer.sylvester_order();
    std::vector<double> t(static_cast<size_t>(n * n));
    for (int64_t i = 0; i < n * n; ++i) {
        const int64_t row = i / n, col = i % n;
        const int sign = __builtin_popcountll(static_cast<uint64_t>((row % m) & (col % m))) % 2;
        const double d =
            mixer.dense_order == 1
                ? 1.0
                : mixer.dense[static_cast<size_t>(row / m * mixer.dense_order + col / m)];
        t[static_cast<size_t>(i)] = (sign == 1 ? -d : d) / std::sqrt(static_cast<double>(n));
    }
    return t;
}

TEST_F(ReferenceOperations, TransformIsItsMatrixOnEveryBlock) {
    for (const MixerShape& shape : kMixerShapes) {
        SCOPED_TRACE(fmt::format("seed 23: n {} inner {}", shape.n, shape.inner));
        const linalg::Mixer mixer = linalg::make_mixer(shape.n);
        const std::vector<double> t = written_out(mixer);
        const int64_t block = shape.n * shape.inner;
        Rng rng(23);
        const Matrix x = normal_matrix(2, block * shape.blocks, rng);
        Matrix expected(2, x.cols);
        for (int64_t i = 0; i < 2 * x.cols; ++i) {
            const int64_t start = i / block * block, row = i % block / shape.inner;
            double sum = 0.0;
            for (int64_t k = 0; k < shape.n; ++k) {
                const int64_t from = start + k * shape.inner + i % shape.inner;
                sum +=
                    t[static_cast<size_t>(row * shape.n + k)] * x.values[static_cast<size_t>(from)];
            }
            expected.values[static_cast<size_t>(i)] = static_cast<float>(sum);
        }
        const auto transform = backend_->prepare_transform(mixer, shape.inner);
        const Rows rows = bench_.upload(x, 4);
        backend_->transform(*transform, rows);
        // Both are double sums: only the last rounding may fall the other way.
        EXPECT_TRUE(near(expected.values, bench_.download(rows).values,
                         [&](size_t i) { return kEps * std::fabs(expected.values[i]) + 1e-13; }));
    }
}

TEST_F(ReferenceOperations, TransformEqualsLinalgApply) {
    for (const int64_t n : {8, 12, 172, 214}) {
        const linalg::Mixer mixer = linalg::make_mixer(n);
        Rng rng(24);
        const Matrix x = normal_matrix(1, n, rng);
        std::vector<double> wide(x.values.begin(), x.values.end());
        linalg::apply(mixer, wide);
        const std::vector<float> expected(wide.begin(), wide.end());
        const auto transform = backend_->prepare_transform(mixer, 1);
        const Rows rows = bench_.upload(x);
        backend_->transform(*transform, rows);
        EXPECT_TRUE(same(expected, bench_.download(rows).values));
    }
}

TEST_F(ReferenceOperations, RmsNormByHand) {
    Matrix x(1, 2);
    x.values = {3.0f, 4.0f};
    const Rows out = bench_.blank(1, 2);
    backend_->norm({.in = bench_.upload(x),
                    .gain = bench_.upload(std::vector<float>{1.0f, 2.0f}),
                    .eps = 12.5f,
                    .out = out});
    EXPECT_EQ(bench_.download(out).values, (std::vector<float>{0.6f, 1.6f}));  // mean 12.5: / 5
}

TEST_F(ReferenceOperations, RmsNormOfGroupsIsThatOfEachByItself) {
    Matrix x(1, 4);
    x.values = {3.0f, 4.0f, 600.0f, -800.0f};
    const Rows out = bench_.blank(1, 4);
    backend_->norm({.in = bench_.upload(x),
                    .gain = bench_.upload(std::vector<float>{1.0f, 2.0f}),
                    .eps = 0.0f,
                    .group = 2,
                    .out = out});
    const double size = std::sqrt(12.5);
    const double expected[] = {3.0 / size, 8.0 / size, 3.0 / size, -8.0 / size};
    const Matrix actual = bench_.download(out);
    for (size_t i = 0; i < 4; ++i) EXPECT_NEAR(actual.values[i], expected[i], 1e-6) << i;
}

TEST_F(ReferenceOperations, LayerNormByHand) {
    Matrix x(1, 2);
    x.values = {103.0f, 97.0f};  // mean 100, variance 9
    const Rows out = bench_.blank(1, 2);
    backend_->norm({.in = bench_.upload(x),
                    .kind = NormKind::Layer,
                    .gain = bench_.upload(std::vector<float>{1.0f, 2.0f}),
                    .bias = bench_.upload(std::vector<float>{0.5f, 0.25f}),
                    .eps = 27.0f,
                    .out = out});
    EXPECT_EQ(bench_.download(out).values, (std::vector<float>{1.0f, -0.75f}));  // / 6
}

TEST_F(ReferenceOperations, SiluTimesUpByHand) {
    Matrix gate(1, 3), up(1, 3);
    gate.values = {0.0f, 1.0f, -200.0f};
    up.values = {5.0f, 2.0f, 1.0f};
    const Rows out = bench_.blank(1, 3);
    backend_->activate({.gate = bench_.upload(gate), .up = bench_.upload(up), .out = out});
    const auto one = static_cast<float>(2.0 / (1.0 + std::exp(-1.0)));
    EXPECT_TRUE(same(std::vector<float>{0.0f, one, 0.0f}, bench_.download(out).values));
}

// The formulas in the double arithmetic of Python's math module.
TEST_F(ReferenceOperations, ActivationsByHand) {
    Matrix x(1, 4);
    x.values = {-3.0f, -0.5f, 0.75f, 2.0f};
    const std::pair<Activation, std::vector<double>> expected[] = {
        {Activation::Silu,
         {-0.14227761953270035, -0.1887703343990727, 0.5093840243815447, 1.7615941559557646}},
        {Activation::GeluTanh,
         {-0.0036373920817729943, -0.15428599017485606, 0.5799605551656203, 1.954597694087775}},
        {Activation::Gelu,
         {-0.004049694094890287, -0.15426876936299344, 0.5800294857173488, 1.9544997361036416}},
        {Activation::Relu, {0.0, 0.0, 0.75, 2.0}},
    };
    for (const auto& [activation, values] : expected) {
        const Rows out = bench_.blank(1, 4);
        backend_->activate(
            {.activation = activation, .gate = bench_.upload(x), .up = {}, .out = out});
        const Matrix actual = bench_.download(out);
        for (size_t i = 0; i < 4; ++i) {
            EXPECT_NEAR(actual.values[i], values[i], 1e-7 * std::fabs(values[i]))
                << static_cast<int>(activation) << " of " << x.values[i];
        }
    }
}

TEST_F(ReferenceOperations, RopeTurnsFirstHalfAgainstSecondHalf) {
    Matrix q(2, 4), k(2, 4);
    q.values = {1, 2, 3, 4, 1, 2, 3, 4};
    k.values = {5, 6, 7, 8, 5, 6, 7, 8};
    const TestBatch batch(bench_, {{0, 2}}, 4, 1);
    const RopeTable table{bench_.upload(std::vector<float>{1, 1, 0, 0.5f}),
                          bench_.upload(std::vector<float>{0, 0, 1, 0.25f}), 2};
    const Rows q_rows = bench_.upload(q), k_rows = bench_.upload(k);
    backend_->rope({q_rows, k_rows, 4, table, batch.view()});
    EXPECT_EQ(bench_.download(q_rows).values, (std::vector<float>{1, 2, 3, 4, -3, 0, 1, 2.5f}));
    EXPECT_EQ(bench_.download(k_rows).values, (std::vector<float>{5, 6, 7, 8, -7, 1, 5, 5.5f}));
}

// Two sequences, grouped queries, all in fp32 so that a softmax written here is the whole story.
TEST_F(ReferenceOperations, AttentionIsACausalSoftmaxOverTheCache) {
    constexpr int64_t kDim = 8, kHeads = 4, kKvHeads = 2, kMaxPages = 3;
    const std::vector<Piece> runs = {{0, 6}, {0, 1}};
    Rng rng(25);
    const Matrix q = normal_matrix(7, kHeads * kDim, rng),
                 k = normal_matrix(7, kKvHeads * kDim, rng),
                 v = normal_matrix(7, kKvHeads * kDim, rng);
    const auto kv = backend_->make_kv_store(
        {.n_layers = 1, .n_kv_heads = kKvHeads, .head_dim = kDim, .page_tokens = 4}, 2 * kMaxPages);
    const TestBatch batch(bench_, runs, 4, kMaxPages);
    backend_->append_kv({bench_.upload(k), bench_.upload(v), 0, batch.view(), *kv, {}});
    const Rows out = bench_.blank(7, kHeads * kDim);
    backend_->attention({bench_.upload(q), kHeads, 0, 0.25f, batch.view(), *kv, out});
    const Matrix actual = bench_.download(out);
    for (int64_t token = 0; token < 7; ++token) {
        const int64_t first = token < 6 ? 0 : 6;
        for (int64_t h = 0; h < kHeads; ++h) {
            const int64_t column = h * kDim, kv_column = h / 2 * kDim;
            std::vector<double> mixed(kDim);
            double sum = 0.0;
            for (int64_t p = first; p <= token; ++p) {
                double score = 0.0;
                for (int64_t i = 0; i < kDim; ++i) {
                    score += 0.25 * q.row(token)[column + i] * k.row(p)[kv_column + i];
                }
                sum += std::exp(score);
                for (size_t i = 0; i < kDim; ++i) {
                    mixed[i] += std::exp(score) * v.row(p)[kv_column + static_cast<int64_t>(i)];
                }
            }
            for (size_t i = 0; i < kDim; ++i) {
                EXPECT_NEAR(actual.row(token)[column + static_cast<int64_t>(i)], mixed[i] / sum,
                            1e-6);
            }
        }
    }
}

TEST_F(ReferenceOperations, AttentionReadsDequantizedCodes) {
    const KvFormat format{.bits = 2, .range_includes_zero = true};
    const auto kv = backend_->make_kv_store(
        {.n_layers = 1, .n_kv_heads = 1, .head_dim = 4, .page_tokens = 4, .k = format, .v = format},
        1);
    Matrix x(1, 4);
    x.values = {3.0f, 1.2f, 0.4f, 0.0f};  // scale 1: codes 3 1 0 0
    const TestBatch batch(bench_, {{0, 1}}, 4, 1);
    backend_->append_kv({bench_.upload(x), bench_.upload(x), 0, batch.view(), *kv, {}});
    const Rows out = bench_.blank(1, 4);
    backend_->attention({bench_.upload(x), 1, 0, 1.0f, batch.view(), *kv, out});
    EXPECT_EQ(bench_.download(out).values, (std::vector<float>{3.0f, 1.0f, 0.0f, 0.0f}));
}

// Keys 0, so that every position that is seen counts alike; then scores that the cap brings near
// it.
TEST_F(ReferenceOperations, AttentionSeesItsWindowAndCapsScores) {
    const auto kv = backend_->make_kv_store(
        {.n_layers = 1, .n_kv_heads = 1, .head_dim = 2, .page_tokens = 4}, 2);
    Matrix k(6, 2), v(6, 2), q(6, 2);
    for (int64_t p = 0; p < 6; ++p) {
        v.row(p)[0] = static_cast<float>(p);
        k.row(p)[1] = static_cast<float>(p);
        q.row(p)[1] = p == 5 ? 10.0f : 0.0f;
    }
    const TestBatch batch(bench_, {{0, 6}}, 4, 2);
    backend_->append_kv({bench_.upload(k), bench_.upload(v), 0, batch.view(), *kv, {}});
    const Rows out = bench_.blank(6, 2);
    backend_->attention({.q = bench_.upload(q),
                         .n_heads = 1,
                         .layer = 0,
                         .scale = 0.5f,
                         .batch = batch.view(),
                         .kv = *kv,
                         .out = out,
                         .score_cap = 2.0f,
                         .window = 3});
    const Matrix actual = bench_.download(out);
    const std::vector<double> means = {0.0, 0.5, 1.0, 2.0, 3.0};  // of the last three positions
    for (size_t p = 0; p < means.size(); ++p) {
        EXPECT_NEAR(actual.row(static_cast<int64_t>(p))[0], means[p], 1e-6) << p;
    }
    double sum = 0.0, mixed = 0.0;
    for (int p = 3; p < 6; ++p) {
        const double weight = std::exp(2.0 * std::tanh(0.5 * 10.0 * p / 2.0));
        sum += weight;
        mixed += weight * p;
    }
    EXPECT_NEAR(actual.row(5)[0], mixed / sum, 1e-6);
}

// At position p the key that is read is (k + cos(p) b_0 + sin(p) b_1) of two dimensions.
TEST_F(ReferenceOperations, AttentionAddsTheBiasOfKeysAtTheirPositions) {
    const KvFormat format{.bits = 8, .range_includes_zero = true};
    const auto kv = backend_->make_kv_store({.n_layers = 1,
                                             .n_kv_heads = 1,
                                             .head_dim = 2,
                                             .page_tokens = 4,
                                             .k = format,
                                             .v = format,
                                             .k_bias_apart = true},
                                            1);
    Matrix k(2, 2), v(2, 2), q(2, 2);
    v.values = {255.0f, 0.0f, 0.0f, 255.0f};  // scale 1: stored exactly
    q.values = {0.0f, 0.0f, 0.5f, 0.25f};
    const TestBatch batch(bench_, {{0, 2}}, 4, 1);
    backend_->append_kv({bench_.upload(k), bench_.upload(v), 0, batch.view(), *kv, {}});
    const Rows out = bench_.blank(2, 2);
    backend_->attention({.q = bench_.upload(q),
                         .n_heads = 1,
                         .layer = 0,
                         .scale = 1.0f,
                         .batch = batch.view(),
                         .kv = *kv,
                         .out = out,
                         .key_bias = {bench_.upload(std::vector<float>{3.0f, 1.0f, -2.0f, 8.0f}),
                                      {bench_.upload(std::vector<float>{1.0f, 0.5f}),
                                       bench_.upload(std::vector<float>{0.0f, 0.25f}), 2}}});
    // Keys are 0, so the scores of the second query are (0.5, 0.25) times the biases.
    const double first = 0.5 * 3.0 + 0.25 * 1.0;
    const double second = 0.5 * (0.5 * 3.0 - 0.25 * 2.0) + 0.25 * (0.5 * 1.0 + 0.25 * 8.0);
    const double weight = 1.0 / (1.0 + std::exp(second - first));
    const Matrix actual = bench_.download(out);
    EXPECT_NEAR(actual.row(1)[0], 255.0 * weight, 1e-4);
    EXPECT_NEAR(actual.row(1)[1], 255.0 * (1.0 - weight), 1e-4);
}

}  // namespace
}  // namespace quarot::backend_test
