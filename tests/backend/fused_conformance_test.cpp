// Does every fused operation give the very bits of the plain operations it stands for, on the same
// backend?
#include <fmt/format.h>

#include <optional>

#include "backend/cases.h"
#include "backend/test_batch.h"

namespace quarot::backend_test {
namespace {

using namespace kernels;

class FusedConformance : public AnyBackend {
  protected:
    void expect_equal(Bench& bench, const QuantizedRows& expected, const QuantizedRows& actual) {
        const Codes e = bench.download(expected), a = bench.download(actual);
        EXPECT_TRUE(same(e.codes, a.codes)) << "codes";
        EXPECT_TRUE(same(e.scales, a.scales)) << "scales";
        EXPECT_TRUE(same(e.offsets, a.offsets)) << "offsets";
        EXPECT_TRUE(same(e.bases, a.bases)) << "bases";
        EXPECT_TRUE(same(e.row_sums, a.row_sums)) << "row sums";
    }
    std::unique_ptr<Backend> backend_ = make(GetParam());
};

constexpr ActivationFormat kFormats[] = {
    {.bits = 16},
    {.bits = 4, .clip = 0.9f},
    {.bits = 8, .symmetric = false},
    {.bits = 4, .group_size = 32, .symmetric = false},
    {.bits = 4, .group_size = 32, .symmetric = false, .zero = ZeroPoint::Real},
    {.bits = 4, .clip = 0.9f, .first_positions = 4},
    {.bits = 4, .symmetric = false, .clip = 0.85f, .zero = ZeroPoint::Real, .first_positions = 4},
    {.bits = 4,
     .group_size = 32,
     .symmetric = false,
     .zero = ZeroPoint::Real,
     .scales = ActivationScales::TwoLevel,
     .first_positions = 4},
};

bool fits(const ActivationFormat& format, int64_t cols) {
    return format.group_size == 0 || cols % format.group_size == 0;
}

TEST_P(FusedConformance, RmsNormQuantize) {
    for (const ActivationFormat& format : kFormats) {
        for (const int64_t cols : kWidths) {
            if (!fits(format, cols)) continue;
            SCOPED_TRACE(fmt::format("seed {} bits {}", cols, format.bits));
            Rng rng(static_cast<uint32_t>(cols));
            Bench bench(*backend_);
            const Rows in = bench.upload(make_matrix(Temper::Outliers, 15, cols, rng));
            const float* gain = bench.upload(normal_vector(cols, rng));
            const Rows plain = bench.blank(15, cols), fused = bench.blank(15, cols);
            backend_->norm({.in = in, .gain = gain, .out = plain});
            Operand out{fused};
            if (format.bits != 16) out.rows = bench.blank_codes(15, cols, format);
            backend_->norm_quantize({.in = in, .gain = gain, .out = fused}, out, {});
            if (format.bits == 16) {
                ASSERT_TRUE(same(bench.download(plain).values, bench.download(fused).values));
                continue;
            }
            const QuantizedRows expected = bench.blank_codes(15, cols, format);
            backend_->quantize(plain, expected, {});
            expect_equal(bench, expected, std::get<QuantizedRows>(out.rows));
            if (HasFailure()) return;
        }
    }
}

// Of the four activations with and without `up`, each shape takes one.
TEST_P(FusedConformance, ActivateTransformQuantize) {
    size_t turn = 0;
    for (const ActivationFormat& format : kFormats) {
        for (const MixerShape& shape : kMixerShapes) {
            const int64_t cols = shape.n * shape.inner * shape.blocks;
            if (!fits(format, cols)) continue;
            const Activation activation = kActivations[turn % 4];
            const bool gated = turn++ / 4 % 2 == 0;
            SCOPED_TRACE(fmt::format("seed {} inner {} bits {} activation {} gated {}", cols,
                                     shape.inner, format.bits, static_cast<int>(activation),
                                     gated));
            Rng rng(static_cast<uint32_t>(cols));
            const Matrix gate = normal_matrix(7, cols, rng), up = normal_matrix(7, cols, rng);
            Bench bench(*backend_);
            std::optional<Rows> factor;
            if (gated) factor = bench.upload(up);
            const auto mixer =
                backend_->prepare_transform(linalg::make_mixer(shape.n), shape.inner);
            const Rows plain = bench.blank(7, cols), fused = bench.upload(gate);
            backend_->activate(
                {.activation = activation, .gate = bench.upload(gate), .up = factor, .out = plain});
            backend_->transform(*mixer, plain);
            Operand out{fused};
            if (format.bits != 16) out.rows = bench.blank_codes(7, cols, format);
            backend_->activate_transform_quantize(
                {.activation = activation, .gate = fused, .up = factor, .out = fused}, mixer.get(),
                out, {});
            if (format.bits == 16) {
                ASSERT_TRUE(same(bench.download(plain).values, bench.download(fused).values));
                continue;
            }
            const QuantizedRows expected = bench.blank_codes(7, cols, format);
            backend_->quantize(plain, expected, {});
            expect_equal(bench, expected, std::get<QuantizedRows>(out.rows));
            if (HasFailure()) return;
        }
    }
}

TEST_P(FusedConformance, TransformQuantize) {
    for (const bool with_transform : {true, false}) {
        for (const ActivationFormat& format : kFormats) {
            Rng rng(8);
            const Matrix in = make_matrix(Temper::Outliers, 5, 576, rng);
            Bench bench(*backend_);
            const auto mixer = backend_->prepare_transform(linalg::make_mixer(12), 48);
            const Transform* transform = with_transform ? mixer.get() : nullptr;
            const Rows plain = bench.upload(in), fused = bench.upload(in);
            if (with_transform) backend_->transform(*mixer, plain);
            Operand out{fused};
            if (format.bits != 16) out.rows = bench.blank_codes(5, 576, format);
            backend_->transform_quantize(transform, fused, out, {});
            if (format.bits == 16) {
                ASSERT_TRUE(same(bench.download(plain).values, bench.download(fused).values));
                continue;
            }
            const QuantizedRows expected = bench.blank_codes(5, 576, format);
            backend_->quantize(plain, expected, {});
            expect_equal(bench, expected, std::get<QuantizedRows>(out.rows));
        }
    }
}

TEST_P(FusedConformance, AddNormQuantize) {
    size_t turn = 0;
    for (const ActivationFormat& format : kFormats) {
        for (const int64_t cols : kWidths) {
            if (!fits(format, cols)) continue;
            const NormKind kind = turn++ % 2 == 0 ? NormKind::Rms : NormKind::Layer;
            SCOPED_TRACE(
                fmt::format("seed {} bits {} kind {}", cols, format.bits, static_cast<int>(kind)));
            Rng rng(static_cast<uint32_t>(cols));
            Bench bench(*backend_);
            const Matrix x = make_matrix(Temper::Outliers, 15, cols, rng);
            const Rows partial = bench.upload(normal_matrix(15, cols, rng), 1);
            const float* gain = bench.upload(normal_vector(cols, rng));
            const float* bias = nullptr;
            if (kind == NormKind::Layer) bias = bench.upload(normal_vector(cols, rng));
            const Rows plain = bench.upload(x), fused = bench.upload(x, 3);
            const Rows normed = bench.blank(15, cols), out = bench.blank(15, cols);
            Operand operand{out};
            if (format.bits != 16) operand.rows = bench.blank_codes(15, cols, format);
            backend_->add(plain, partial);
            backend_->norm({.in = plain, .kind = kind, .gain = gain, .bias = bias, .out = normed});
            backend_->add_norm_quantize({.residual = fused,
                                         .partial = partial,
                                         .kind = kind,
                                         .gain = gain,
                                         .bias = bias,
                                         .out = out},
                                        operand, {});
            ASSERT_TRUE(same(bench.download(plain).values, bench.download(fused).values));
            if (format.bits == 16) {
                ASSERT_TRUE(same(bench.download(normed).values, bench.download(out).values));
                continue;
            }
            const QuantizedRows expected = bench.blank_codes(15, cols, format);
            backend_->quantize(normed, expected, {});
            expect_equal(bench, expected, std::get<QuantizedRows>(operand.rows));
        }
    }
}

TEST_P(FusedConformance, RowsWithNanAreNotedByFusedOperations) {
    Rng rng(4);
    Bench bench(*backend_);
    const Matrix values = make_matrix(Temper::NanInside, 4, 64, rng);
    const Rows in = bench.upload(values);
    const Operand out{bench.blank_codes(4, 64, {.bits = 4})};
    const Rows normed = bench.blank(4, 64);
    const SiteNote norm = bench.note(7, 4), add = bench.note(6, 4), silu = bench.note(3, 4);
    backend_->norm_quantize({.in = in, .out = normed}, out, norm);
    backend_->add_norm_quantize(
        {.residual = bench.upload(normal_matrix(4, 64, rng)), .partial = in, .out = normed}, out,
        add);
    const auto mixer = backend_->prepare_transform(linalg::make_mixer(64), 1);
    backend_->activate_transform_quantize({.gate = in, .up = in, .out = in}, mixer.get(), out,
                                          silu);
    for (const SiteNote& note : {norm, add, silu}) {
        std::vector<Site> expected(4, kNoSite);
        for (size_t r = 0; r < 4; ++r) {
            for (int64_t c = 0; c < 64; ++c) {
                if (std::isnan(values.row(static_cast<int64_t>(r))[c])) expected[r] = note.site;
            }
        }
        EXPECT_EQ(bench.sites(note, 4), expected) << note.site;
    }
}

struct LinearGroupCase {
    int w_bits, a_bits;
    int64_t rows;
    std::array<int64_t, 3> outs;
};

// The three products alone and together.
void expect_same_linear_group(Backend& backend, const LinearGroupCase& c) {
    SCOPED_TRACE(fmt::format("seed 6 W {} A {}, {} rows, outputs from {}", c.w_bits, c.a_bits,
                             c.rows, c.outs[0]));
    constexpr int64_t kIn = 172;
    Rng rng(6);
    Bench bench(backend);
    const Matrix in = normal_matrix(c.rows, kIn, rng);
    Operand x{bench.upload(in)};
    if (c.a_bits != 16) x.rows = bench.quantize(in, {.bits = c.a_bits});
    std::vector<std::unique_ptr<Linear>> weights;
    std::vector<const Linear*> all;
    std::vector<Rows> alone, together;
    for (const int64_t out : c.outs) {
        LinearWeights w;
        w.matrix = random_dense(out, kIn, DType::BF16, rng);
        if (c.w_bits != 16) w.matrix = random_quantized(out, kIn, c.w_bits, 0, true, rng);
        w.bias = normal_vector(out, rng);
        weights.push_back(backend.prepare_linear(std::move(w)));
        all.push_back(weights.back().get());
        alone.push_back(bench.blank(c.rows, out));
        together.push_back(bench.blank(c.rows, out));
        backend.linear({.in = x, .weight = *all.back(), .out = alone.back()});
    }
    backend.linear_group({.in = x, .weights = all, .outs = together});
    for (size_t i = 0; i < all.size(); ++i) {
        ASSERT_TRUE(same(bench.download(alone[i]).values, bench.download(together[i]).values)) << i;
    }
}

TEST_P(FusedConformance, LinearGroup) {
    for (const int w_bits : {4, 8, 16}) {
        for (const int a_bits : {4, 16}) {
            for (const int64_t rows : {5, 20, 70, 300}) {
                expect_same_linear_group(*backend_, {w_bits, a_bits, rows, {90, 90, 33}});
                expect_same_linear_group(*backend_, {w_bits, a_bits, rows, {136, 320, 72}});
            }
        }
    }
}

void expect_same_rope_transform_append(Backend& backend, int64_t head_dim) {
    SCOPED_TRACE(fmt::format("seed 9, head_dim {}", head_dim));
    constexpr int64_t kHeads = 4, kKvHeads = 2, kPageTokens = 4, kMaxPages = 3;
    Rng rng(9);
    Bench bench(backend);
    const TestBatch batch(bench, {{0, 9}, {0, 4}}, kPageTokens, kMaxPages);
    const Matrix q = normal_matrix(13, kHeads * head_dim, rng);
    const Matrix k = normal_matrix(13, kKvHeads * head_dim, rng);
    const Rows v = bench.upload(normal_matrix(13, kKvHeads * head_dim, rng));
    const RopeTable table{bench.upload(normal_vector(16 * head_dim / 2, rng)),
                          bench.upload(normal_vector(16 * head_dim / 2, rng)), 16};
    const auto mixer = backend.prepare_transform(linalg::make_mixer(head_dim), 1);
    const KvDescriptor d{.n_layers = 1,
                         .n_kv_heads = kKvHeads,
                         .head_dim = head_dim,
                         .page_tokens = kPageTokens,
                         .k = {.bits = 4},
                         .v = {.bits = 4, .range_includes_zero = false}};
    for (const Transform* transform :
         {static_cast<const Transform*>(nullptr), static_cast<const Transform*>(mixer.get())}) {
        const auto plain = backend.make_kv_store(d, 2 * kMaxPages);
        const auto fused = backend.make_kv_store(d, 2 * kMaxPages);
        const Rows q1 = bench.upload(q), k1 = bench.upload(k), q2 = bench.upload(q),
                   k2 = bench.upload(k);
        backend.rope({q1, k1, head_dim, table, batch.view()});
        if (transform != nullptr) backend.transform(*transform, q1);
        if (transform != nullptr) backend.transform(*transform, k1);
        backend.append_kv({k1, v, 0, batch.view(), *plain, {}});
        backend.rope_transform_append_kv({.rope = {q2, k2, head_dim, table, batch.view()},
                                          .transform = transform,
                                          .append = {k2, v, 0, batch.view(), *fused, {}}});
        EXPECT_TRUE(same(bench.download(q1).values, bench.download(q2).values)) << "q";
        for (const KvKind kind : {KvKind::Key, KvKind::Value}) {
            const auto e = entries_of(*plain, kind, 0, 0, 9, kMaxPages);
            const auto a = entries_of(*fused, kind, 0, 0, 9, kMaxPages);
            for (size_t i = 0; i < e.size(); ++i) EXPECT_EQ(e[i].codes, a[i].codes);
        }
    }
}

// Sylvester alone, and with a dense factor beside it or alone.
TEST_P(FusedConformance, RopeTransformAppend) {
    for (const int64_t head_dim : {64, 96, 12}) {
        expect_same_rope_transform_append(*backend_, head_dim);
    }
}

INSTANTIATE_TEST_SUITE_P(All, FusedConformance, testing::ValuesIn(all_backends()),
                         testing::PrintToStringParamName());

}  // namespace
}  // namespace quarot::backend_test
