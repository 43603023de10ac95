// Do the operations on single rows (embedding, norm, RoPE, activation, transform, gathering) agree
// with the reference, and gathering with plain indexing?
#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <optional>
#include <span>

#include "backend/cases.h"
#include "backend/test_batch.h"

namespace quarot::backend_test {
namespace {

using namespace kernels;

class RowsConformance : public FastBackend {};
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(RowsConformance);

// gain: empty for ones; group: 0 for whole rows.
Matrix rms_norm(Backend& backend, const Matrix& in, const std::vector<float>& gain, bool in_place,
                int64_t group = 0) {
    Bench bench(backend);
    const Rows rows = bench.upload(in, 2);
    const Rows out = in_place ? rows : bench.blank(in.rows, in.cols);
    backend.norm({.in = rows,
                  .gain = gain.empty() ? nullptr : bench.upload(gain),
                  .eps = 1e-6f,
                  .group = group,
                  .out = out});
    return bench.download(out);
}

TEST_P(RowsConformance, RmsNorm) {
    for (const int64_t rows : kRowCounts) {
        for (const int64_t cols : kWidths) {
            for (const Temper temper : {Temper::Normal, Temper::Outliers, Temper::Zeros}) {
                SCOPED_TRACE(fmt::format("seed {} {} x {}", cols, rows, cols));
                Rng rng(static_cast<uint32_t>(cols));
                const Matrix in = make_matrix(temper, rows, cols, rng);
                std::vector<float> gain;
                if (rows != 3) gain = normal_vector(cols, rng);
                const Matrix expected = rms_norm(*reference_, in, gain, false);
                const Matrix actual = rms_norm(*subject_, in, gain, rows == 15);
                ASSERT_TRUE(near(expected.values, actual.values,
                                 [&](size_t i) { return rms_norm_limit(expected.values[i]); }));
            }
        }
    }
}

// The norms of heads: runs of columns of very different size, one gain for all of them.
TEST_P(RowsConformance, RmsNormOfGroups) {
    for (const int64_t group : kHeadDims) {
        for (const int64_t n_groups : {1, 2, 9}) {
            for (const bool in_place : {false, true}) {
                SCOPED_TRACE(fmt::format("seed {}, {} groups of it", group, n_groups));
                Rng rng(static_cast<uint32_t>(group));
                Matrix in = normal_matrix(5, n_groups * group, rng);
                for (size_t i = 0; i < in.values.size(); ++i) {
                    in.values[i] *= std::ldexp(1.0f, static_cast<int>(i) / static_cast<int>(group));
                }
                std::vector<float> gain;
                if (n_groups != 2) gain = normal_vector(group, rng);
                const Matrix expected = rms_norm(*reference_, in, gain, false, group);
                const Matrix actual = rms_norm(*subject_, in, gain, in_place, group);
                ASSERT_TRUE(near(expected.values, actual.values,
                                 [&](size_t i) { return rms_norm_limit(expected.values[i]); }));
            }
        }
    }
}

// Finite numbers whose squares are not, or whose sum of squares is not.
TEST_P(RowsConformance, RmsNormOfTheLargestNumbers) {
    for (const float size : {1e18f, 3e19f, 1e30f, 3e38f}) {
        for (const int64_t cols : kWidths) {
            SCOPED_TRACE(fmt::format("seed {} size {:g}, {} columns", cols, size, cols));
            Rng rng(static_cast<uint32_t>(cols));
            Matrix in = normal_matrix(3, cols, rng);
            for (float& x : in.values) x = std::clamp(x, -1.0f, 1.0f) * size;
            const std::vector<float> gain = normal_vector(cols, rng);
            const Matrix expected = rms_norm(*reference_, in, gain, false);
            const Matrix actual = rms_norm(*subject_, in, gain, false);
            ASSERT_TRUE(near(expected.values, actual.values,
                             [&](size_t i) { return rms_norm_limit(expected.values[i]); }));
            ASSERT_GT(*std::ranges::max_element(expected.values), 0.1f) << "no row of zeros";
        }
    }
}

struct LayerNorm {
    std::vector<float> gain, bias;  // empty: ones, zeros
    int64_t group = 0;
};

Matrix layer_norm(Backend& backend, const Matrix& in, const LayerNorm& norm, bool in_place) {
    Bench bench(backend);
    const Rows rows = bench.upload(in, 2);
    const Rows out = in_place ? rows : bench.blank(in.rows, in.cols);
    backend.norm({.in = rows,
                  .kind = NormKind::Layer,
                  .gain = norm.gain.empty() ? nullptr : bench.upload(norm.gain),
                  .bias = norm.bias.empty() ? nullptr : bench.upload(norm.bias),
                  .eps = 1e-6f,
                  .group = norm.group,
                  .out = out});
    return bench.download(out);
}

// What each value may differ by, from the statistics of its run.
std::vector<double> layer_norm_limits(const Matrix& in, const LayerNorm& norm) {
    const int64_t n = norm.group == 0 ? in.cols : norm.group;
    std::vector<double> limits;
    for (size_t first = 0; first < in.values.size(); first += static_cast<size_t>(n)) {
        const auto run = std::span(in.values).subspan(first, static_cast<size_t>(n));
        for (size_t i = 0; i < run.size(); ++i) {
            const double gain = norm.gain.empty() ? 1.0 : norm.gain[i];
            const double bias = norm.bias.empty() ? 0.0 : norm.bias[i];
            limits.push_back(layer_norm_limit(run, 1e-6, i, gain, bias));
        }
    }
    return limits;
}

// Rows far from 0, in which what is left of the mean would show.
TEST_P(RowsConformance, LayerNormOfRows) {
    for (const int64_t cols : kWidths) {
        for (const Temper temper : {Temper::Normal, Temper::Outliers, Temper::Zeros}) {
            for (const float offset : {0.0f, 7.0f}) {
                SCOPED_TRACE(fmt::format("seed {}, {} columns about {}", cols, cols, offset));
                Rng rng(static_cast<uint32_t>(cols));
                Matrix in = make_matrix(temper, 5, cols, rng);
                for (float& x : in.values) x += offset;
                LayerNorm norm;
                if (cols != 64) norm.gain = normal_vector(cols, rng);
                if (cols != 90) norm.bias = normal_vector(cols, rng);
                const std::vector<double> limits = layer_norm_limits(in, norm);
                const Matrix expected = layer_norm(*reference_, in, norm, false);
                for (const bool in_place : {false, true}) {
                    const Matrix actual = layer_norm(*subject_, in, norm, in_place);
                    ASSERT_TRUE(
                        near(expected.values, actual.values, [&](size_t i) { return limits[i]; }));
                }
            }
        }
    }
}

TEST_P(RowsConformance, LayerNormOfGroups) {
    for (const int64_t group : kHeadDims) {
        SCOPED_TRACE(fmt::format("seed {}", group));
        Rng rng(static_cast<uint32_t>(group));
        Matrix in = normal_matrix(5, 3 * group, rng);
        for (size_t i = 0; i < in.values.size(); ++i) {
            in.values[i] += static_cast<float>(i / static_cast<size_t>(group));
        }
        const LayerNorm norm = {normal_vector(group, rng), {}, group};
        const std::vector<double> limits = layer_norm_limits(in, norm);
        const Matrix expected = layer_norm(*reference_, in, norm, false);
        const Matrix actual = layer_norm(*subject_, in, norm, true);
        ASSERT_TRUE(near(expected.values, actual.values, [&](size_t i) { return limits[i]; }));
    }
}

TEST_P(RowsConformance, LayerNormOfTheLargestNumbers) {
    for (const float size : {1e18f, 3e19f, 1e30f, 1e38f}) {
        for (const int64_t cols : kWidths) {
            SCOPED_TRACE(fmt::format("seed {} size {:g}, {} columns", cols, size, cols));
            Rng rng(static_cast<uint32_t>(cols));
            Matrix in = normal_matrix(3, cols, rng);
            for (float& x : in.values) x = std::clamp(x, -1.0f, 1.0f) * size;
            const LayerNorm norm = {normal_vector(cols, rng), normal_vector(cols, rng), 0};
            const std::vector<double> limits = layer_norm_limits(in, norm);
            const Matrix expected = layer_norm(*reference_, in, norm, false);
            const Matrix actual = layer_norm(*subject_, in, norm, false);
            ASSERT_TRUE(near(expected.values, actual.values, [&](size_t i) { return limits[i]; }));
        }
    }
}

// Where the result goes.
enum class Place { Elsewhere, Gate, Up };

// up: null for none.
Matrix activate(Backend& backend, Activation activation, const Matrix& gate, const Matrix* up,
                Place place) {
    Bench bench(backend);
    const Rows g = bench.upload(gate, 1);
    std::optional<Rows> u;
    if (up != nullptr) u = bench.upload(*up);
    const Rows out = place == Place::Elsewhere ? bench.blank(gate.rows, gate.cols, 4)
                     : place == Place::Gate    ? g
                                               : *u;
    backend.activate({.activation = activation, .gate = g, .up = u, .out = out});
    return bench.download(out);
}

TEST_P(RowsConformance, ActivateInAnyPlace) {
    for (const Activation activation : kActivations) {
        for (const int64_t cols : kWidths) {
            for (const float gain : {1.0f, 8.0f, 40.0f, 200.0f, 1e15f}) {
                SCOPED_TRACE(fmt::format("activation {}, seed {} gain {}",
                                         static_cast<int>(activation), cols, gain));
                Rng rng(static_cast<uint32_t>(cols));
                Matrix gate = normal_matrix(5, cols, rng);
                for (float& x : gate.values) x *= gain;
                const Matrix up = normal_matrix(5, cols, rng);
                const Matrix expected =
                    activate(*reference_, activation, gate, &up, Place::Elsewhere);
                for (const Place place : {Place::Elsewhere, Place::Gate, Place::Up}) {
                    const Matrix actual = activate(*subject_, activation, gate, &up, place);
                    ASSERT_TRUE(near(expected.values, actual.values, [&](size_t i) {
                        return activation_limit(activation, expected.values[i], gate.values[i],
                                                up.values[i]);
                    }));
                }
            }
        }
    }
}

TEST_P(RowsConformance, ActivateAloneIsActivateTimesOne) {
    for (const Activation activation : kActivations) {
        for (const int64_t cols : kWidths) {
            SCOPED_TRACE(fmt::format("activation {}, seed {}", static_cast<int>(activation), cols));
            Rng rng(static_cast<uint32_t>(cols));
            Matrix gate = normal_matrix(5, cols, rng), ones(5, cols);
            for (float& x : gate.values) x *= 3.0f;
            std::ranges::fill(ones.values, 1.0f);
            const Matrix expected = activate(*subject_, activation, gate, &ones, Place::Elsewhere);
            for (const Place place : {Place::Elsewhere, Place::Gate}) {
                const Matrix actual = activate(*subject_, activation, gate, nullptr, place);
                ASSERT_TRUE(same(expected.values, actual.values));
            }
        }
    }
}

Matrix transform(Backend& backend, const MixerShape& shape, const Matrix& in) {
    Bench bench(backend);
    const auto mixer = backend.prepare_transform(linalg::make_mixer(shape.n), shape.inner);
    const Rows rows = bench.upload(in, in.rows == 3 ? 7 : 0);
    backend.transform(*mixer, rows);
    return bench.download(rows);
}

TEST_P(RowsConformance, Transform) {
    for (const MixerShape& shape : kMixerShapes) {
        const int64_t block = shape.n * shape.inner, cols = block * shape.blocks;
        for (const int64_t rows : kRowCounts) {
            for (const Temper temper : {Temper::Normal, Temper::Outliers, Temper::Zeros}) {
                SCOPED_TRACE(fmt::format("seed {}: n {} inner {} rows {}", rows, shape.n,
                                         shape.inner, rows));
                Rng rng(static_cast<uint32_t>(rows));
                const Matrix in = make_matrix(temper, rows, cols, rng);
                std::vector<double> norms(static_cast<size_t>(rows * shape.blocks));
                for (size_t i = 0; i < in.values.size(); ++i) {
                    norms[i / static_cast<size_t>(block)] += std::pow(in.values[i], 2.0);
                }
                const Matrix expected = transform(*reference_, shape, in);
                const Matrix actual = transform(*subject_, shape, in);
                ASSERT_TRUE(near(expected.values, actual.values, [&](size_t i) {
                    return transform_limit(shape.n,
                                           std::sqrt(norms[i / static_cast<size_t>(block)]));
                }));
            }
        }
    }
}

TEST_P(RowsConformance, IdentityMixerLeavesEveryBit) {
    Rng rng(1);
    const Matrix in = make_matrix(Temper::Outliers, 3, 90, rng);
    Bench bench(*subject_);
    const auto mixer = subject_->prepare_transform(linalg::identity_mixer(9), 10);
    const Rows rows = bench.upload(in);
    subject_->transform(*mixer, rows);
    EXPECT_TRUE(same(in.values, bench.download(rows).values));
}

struct Turned {
    Matrix q, k;
};

Turned rope(Backend& backend, const AttentionShape& shape, const Matrix& q, const Matrix& k,
            const std::vector<Piece>& runs) {
    Bench bench(backend);
    const TestBatch batch(bench, runs, 4, 8);
    const int64_t half = shape.head_dim / 2, n_positions = 32;
    std::vector<float> cos, sin;
    for (int64_t i = 0; i < n_positions * half; ++i) {
        const double angle = static_cast<double>(i / half) / static_cast<double>(1 + i % half);
        cos.push_back(static_cast<float>(std::cos(angle)));
        sin.push_back(static_cast<float>(std::sin(angle)));
    }
    const Rows q_rows = bench.upload(q, 6), k_rows = bench.upload(k);
    backend.rope({.q = q_rows,
                  .k = k_rows,
                  .head_dim = shape.head_dim,
                  .table = {bench.upload(cos), bench.upload(sin), n_positions},
                  .batch = batch.view()});
    return {bench.download(q_rows), bench.download(k_rows)};
}

TEST_P(RowsConformance, RopeOfThreeSequences) {
    const std::vector<Piece> runs = {{0, 9}, {17, 1}, {3, 5}};
    for (const AttentionShape& shape : kAttentionShapes) {
        SCOPED_TRACE(fmt::format("seed 5, head_dim {}", shape.head_dim));
        Rng rng(5);
        const Matrix q = normal_matrix(15, shape.n_heads * shape.head_dim, rng);
        const Matrix k = normal_matrix(15, shape.n_kv_heads * shape.head_dim, rng);
        const Turned expected = rope(*reference_, shape, q, k, runs);
        const Turned actual = rope(*subject_, shape, q, k, runs);
        const auto limit_for = [&](const Matrix& in) {
            return [&in, &shape](size_t i) {
                const auto dim = static_cast<size_t>(shape.head_dim), half = dim / 2;
                const size_t partner = i % dim < half ? i + half : i - half;
                return rope_limit(in.values[i], in.values[partner]);
            };
        };
        ASSERT_TRUE(near(expected.q.values, actual.q.values, limit_for(q)));
        ASSERT_TRUE(near(expected.k.values, actual.k.values, limit_for(k)));
    }
}

TEST_P(RowsConformance, EmbedWidensStoredRows) {
    for (const DType dtype : {DType::F32, DType::F16, DType::BF16}) {
        for (const int64_t cols : kWidths) {
            Rng rng(static_cast<uint32_t>(cols));
            const auto table = random_dense(5, cols, dtype, rng);
            Bench bench(*subject_);
            const TestBatch batch(bench, {{0, 7}, {2, 1}}, 4, 4);
            const auto embedding = subject_->prepare_embedding(table);
            const Rows out = bench.blank(8, cols, 3);
            subject_->embed({.table = *embedding, .batch = batch.view(), .out = out});
            const Matrix values = values_of(*table), actual = bench.download(out);
            const int64_t ids[] = {0, 1, 2, 3, 4, 0, 1, 2};
            for (int64_t t = 0; t < 8; ++t) {
                ASSERT_TRUE(same(values.slice(ids[t], 1).values, actual.slice(t, 1).values));
            }
        }
    }
}

// Learned positions are added in fp32; padding has none.
TEST_P(RowsConformance, EmbedAddsPositions) {
    for (const DType dtype : {DType::F32, DType::F16, DType::BF16}) {
        for (const int64_t cols : kWidths) {
            SCOPED_TRACE(fmt::format("seed {}, {} columns", cols, cols));
            Rng rng(static_cast<uint32_t>(cols));
            const auto table = random_dense(5, cols, dtype, rng);
            const auto positions = random_dense(16, cols, dtype, rng);
            const std::vector<int32_t> ids = {4, 0, 1, 2}, at = {0, 13, 5, -1};
            Bench bench(*subject_);
            const BatchView batch{
                .n_tokens = 4, .token_ids = bench.upload(ids), .positions = bench.upload(at)};
            const auto embedding = subject_->prepare_embedding(table);
            const auto added = subject_->prepare_embedding(positions);
            const Rows out = bench.blank(4, cols, 3);
            subject_->embed({.table = *embedding,
                             .batch = batch,
                             .out = out,
                             .positions = added.get(),
                             .position_offset = 2});
            const Matrix rows = values_of(*table), places = values_of(*positions);
            Matrix expected(4, cols);
            for (int64_t t = 0; t < 4; ++t) {
                const auto token = static_cast<size_t>(t);
                for (int64_t c = 0; c < cols; ++c) {
                    expected.row(t)[c] = rows.row(ids[token])[c];
                    if (at[token] >= 0) expected.row(t)[c] += places.row(at[token] + 2)[c];
                }
            }
            ASSERT_TRUE(same(expected.values, bench.download(out).values));
        }
    }
}

// Codes of every width, alone and as the rows of a tied head: 70 tokens are two panels and a part.
TEST_P(RowsConformance, EmbedReadsRowsOfCodes) {
    constexpr int64_t kTokens = 70;
    std::vector<int32_t> ids(kTokens);
    std::iota(ids.begin(), ids.end(), 0);
    for (int bits = 2; bits <= 8; ++bits) {
        for (const auto& [cols, group] : {std::pair{24, 0}, {90, 0}, {96, 32}, {64, 16}}) {
            for (const bool symmetric : {true, false}) {
                SCOPED_TRACE(fmt::format("{} bits, {} columns in groups of {}, {}", bits, cols,
                                         group, symmetric ? "symmetric" : "asymmetric"));
                const auto codes = [&] {
                    Rng rng(static_cast<uint32_t>(bits));
                    return random_quantized(kTokens, cols, bits, group, symmetric, rng);
                };
                Matrix expected(kTokens, cols);
                for (int64_t row = 0; row < kTokens; ++row) {
                    codes().dequantize_row(row, {expected.row(row), static_cast<size_t>(cols)});
                }
                const auto alone = subject_->prepare_embedding(codes());
                const auto tied = subject_->prepare_tied({codes()});
                ASSERT_EQ(tied.linear->out_features(), kTokens);
                for (const Embedding* table : {alone.get(), tied.embedding.get()}) {
                    Bench bench(*subject_);
                    const BatchView batch{.n_tokens = kTokens, .token_ids = bench.upload(ids)};
                    const Rows out = bench.blank(kTokens, cols, 3);
                    subject_->embed({.table = *table, .batch = batch, .out = out});
                    ASSERT_TRUE(same(expected.values, bench.download(out).values));
                }
            }
        }
    }
}

// A tied head multiplies as the same matrix alone.
TEST_P(RowsConformance, TheLinearOfATiedMatrixIsTheMatrixs) {
    Rng rng(5);
    const Matrix in = normal_matrix(3, 64, rng);
    const auto codes = [] {
        Rng same_codes(6);
        return random_quantized(70, 64, 8, 0, true, same_codes);
    };
    const auto alone = subject_->prepare_linear({codes()});
    const auto tied = subject_->prepare_tied({codes()});
    Bench bench(*subject_);
    const Operand operand{bench.upload(in)};
    const Rows expected = bench.blank(3, 70), actual = bench.blank(3, 70);
    subject_->linear({.in = operand, .weight = *alone, .out = expected});
    subject_->linear({.in = operand, .weight = *tied.linear, .out = actual});
    EXPECT_TRUE(same(bench.download(expected).values, bench.download(actual).values));
}

TEST_P(RowsConformance, GatherCopiesTheRowsAskedFor) {
    Rng rng(2);
    const Matrix in = normal_matrix(6, 90, rng);
    Bench bench(*subject_);
    const Rows out = bench.blank(3, 90, 1);
    subject_->gather_rows(bench.upload(in, 2), bench.upload(std::vector<int32_t>{5, 0, 5}), out);
    const Matrix actual = bench.download(out);
    for (const auto& [to, from] : {std::pair{0, 5}, {1, 0}, {2, 5}}) {
        EXPECT_TRUE(same(in.slice(from, 1).values, actual.slice(to, 1).values));
    }
}

class RowsOfAnyBackend : public AnyBackend {};

// More, fewer and as many columns as there are, some twice; NaN is copied like any other.
TEST_P(RowsOfAnyBackend, GatherColumnsCopiesTheColumnsAskedFor) {
    const auto backend = make(GetParam(), 2);
    for (const int64_t count : {1, 8, 90, 172}) {
        SCOPED_TRACE(fmt::format("seed {0}, {0} columns", count));
        Rng rng(static_cast<uint32_t>(count));
        const Matrix in = make_matrix(Temper::NanInside, 9, 90, rng);
        std::vector<int32_t> columns;
        for (int64_t j = 0; j < count; ++j) columns.push_back(static_cast<int32_t>(j * 37 % 90));
        Bench bench(*backend);
        const Rows out = bench.blank(9, count, 5);
        backend->gather_columns(bench.upload(in, 2), bench.upload(columns), out);
        Matrix expected(9, count);
        for (int64_t r = 0; r < 9; ++r) {
            for (int64_t j = 0; j < count; ++j) {
                expected.row(r)[j] = in.row(r)[columns[static_cast<size_t>(j)]];
            }
        }
        ASSERT_TRUE(same(expected.values, bench.download(out).values));
    }
}

// A copy keeps every bit, a scale rounds once, and a cap is wrong by its exponential.
TEST_P(RowsOfAnyBackend, ScaleCopiesScalesAndCaps) {
    const auto backend = make(GetParam(), 2);
    for (const float size : {0.01f, 1.0f, 300.0f}) {
        for (const int64_t cols : kWidths) {
            SCOPED_TRACE(fmt::format("size {}, {} columns", size, cols));
            Rng rng(static_cast<uint32_t>(cols));
            Matrix in = normal_matrix(5, cols, rng);
            for (float& x : in.values) x *= size;
            Bench bench(*backend);
            const Rows rows = bench.upload(in, 2), out = bench.blank(5, cols);
            backend->scale({.in = rows, .out = out});
            EXPECT_TRUE(same(bench.download(out).values, in.values));
            backend->scale({.in = rows, .scale = 0.22f, .out = out});
            const auto scaled = bench.download(out).values;
            backend->scale({.in = rows, .scale = 0.22f, .cap = 3.0f, .out = rows});
            const auto capped = bench.download(rows).values;
            for (size_t i = 0; i < in.values.size(); ++i) {
                const double x = 0.22f * static_cast<double>(in.values[i]);
                ASSERT_NEAR(scaled[i], x, kEps * std::fabs(x));
                ASSERT_NEAR(capped[i], 3.0 * std::tanh(x / 3.0), 4.0 * 3.0 * kEps);
            }
        }
    }
}

TEST_P(RowsOfAnyBackend, AddIsOneRoundedSum) {
    const auto backend = make(GetParam(), 2);
    for (const int64_t cols : kWidths) {
        Rng rng(static_cast<uint32_t>(cols));
        const Matrix a = make_matrix(Temper::Outliers, 9, cols, rng);
        const Matrix b = normal_matrix(9, cols, rng);
        Bench bench(*backend);
        const Rows to = bench.upload(a, 3);
        backend->add(to, bench.upload(b, 1));
        Matrix expected = a;
        for (size_t i = 0; i < a.values.size(); ++i) expected.values[i] += b.values[i];
        EXPECT_TRUE(same(expected.values, bench.download(to).values)) << cols;
    }
}

TEST_P(RowsOfAnyBackend, RowsWithNanOrInfAreFound) {
    const auto backend = make(GetParam(), 2);
    const float inf = std::numeric_limits<float>::infinity();
    for (const int64_t cols : kWidths) {
        Rng rng(static_cast<uint32_t>(cols));
        Matrix in = make_matrix(Temper::Huge, 9, cols, rng);
        in.row(2)[0] = std::numeric_limits<float>::quiet_NaN();
        in.row(5)[cols - 1] = inf;
        in.row(8)[cols / 2] = -inf;
        Bench bench(*backend);
        const SiteNote note = bench.note(3, 9);
        backend->find_non_finite(bench.upload(in, 1), note);
        std::vector<Site> expected(9, kNoSite);
        expected[2] = expected[5] = expected[8] = 3;
        EXPECT_EQ(bench.sites(note, 9), expected) << cols;
    }
}

INSTANTIATE_TEST_SUITE_P(All, RowsOfAnyBackend, testing::ValuesIn(all_backends()),
                         testing::PrintToStringParamName());
INSTANTIATE_TEST_SUITE_P(Fast, RowsConformance, testing::ValuesIn(fast_backends()),
                         testing::PrintToStringParamName());

}  // namespace
}  // namespace quarot::backend_test
