// Does the KV cache hold the reference's codes, scales and zero points, and does attention over it
// give the reference's mean?
#include <fmt/format.h>

#include <algorithm>

#include "backend/cases.h"
#include "backend/test_batch.h"

namespace quarot::backend_test {
namespace {

using namespace kernels;

constexpr int64_t kSequencePages = 5;
constexpr int64_t kLayers = 2;

struct Case {
    AttentionShape shape;
    KvFormat k, v;
    int64_t page_tokens = 4;
    Temper temper = Temper::Normal;
    bool k_bias_apart = false;
    float score_cap = 0.0f;
    int64_t window = 0;
    std::vector<Piece> first = {{0, 9}, {0, 4}, {0, 1}};   // border crossed, met, not reached
    std::vector<Piece> second = {{9, 1}, {4, 7}, {1, 3}};  // goes on where the first batch ended
};

KvDescriptor descriptor_of(const Case& c) {
    return {.n_layers = kLayers,
            .n_kv_heads = c.shape.n_kv_heads,
            .head_dim = c.shape.head_dim,
            .page_tokens = c.page_tokens,
            .k = c.k,
            .v = c.v,
            .k_bias_apart = c.k_bias_apart};
}

// What is added to a key is about its size, so that forgetting it is seen.
std::vector<float> basis_of(const Case& c) {
    Rng rng(77);
    const int64_t dim = c.shape.head_dim;
    std::vector<float> basis = normal_vector(c.shape.n_kv_heads * dim * dim, rng);
    for (float& value : basis) value /= std::sqrt(static_cast<float>(dim));
    return basis;
}

KeyBias key_bias(Bench& bench, const Case& c) {
    if (!c.k_bias_apart) return {};
    const int64_t half = c.shape.head_dim / 2, n_positions = kSequencePages * c.page_tokens;
    std::vector<float> cos, sin;
    for (int64_t i = 0; i < n_positions * half; ++i) {
        const double angle = static_cast<double>(i / half) / static_cast<double>(1 + i % half);
        cos.push_back(static_cast<float>(std::cos(angle)));
        sin.push_back(static_cast<float>(std::sin(angle)));
    }
    return {bench.upload(basis_of(c)), {bench.upload(cos), bench.upload(sin), n_positions}};
}

std::string describe(const Case& c, uint32_t seed) {
    return fmt::format(
        "seed {}: heads {}/{} head_dim {} page {} temper {} bias apart {} cap {} window {}; K {} "
        "bits group {} "
        "clip {} exempt {} scales {}; V {} bits group {} clip {} exempt {} scales {}",
        seed, c.shape.n_heads, c.shape.n_kv_heads, c.shape.head_dim, c.page_tokens,
        static_cast<int>(c.temper), c.k_bias_apart, c.score_cap, c.window, c.k.bits, c.k.group_size,
        c.k.clip, c.k.exempt_positions, name_of(c.k.scales), c.v.bits, c.v.group_size, c.v.clip,
        c.v.exempt_positions, name_of(c.v.scales));
}

// What two batches leave in the cache and return.
struct KvOutcome {
    std::unique_ptr<KvStore> store;
    std::vector<Matrix> q, out;
    std::vector<Site> sites;
};

void step(Bench& bench, const Case& c, const std::vector<Piece>& runs, Rng& rng,
          KvOutcome& outcome) {
    const TestBatch batch(bench, runs, c.page_tokens, kSequencePages);
    const int64_t n = batch.view().n_tokens, dim = c.shape.head_dim;
    const Matrix k = make_matrix(c.temper, n, c.shape.n_kv_heads * dim, rng);
    const Matrix v = make_matrix(c.temper, n, c.shape.n_kv_heads * dim, rng);
    outcome.q.push_back(normal_matrix(n, c.shape.n_heads * dim, rng));
    const SiteNote note = bench.note(5, n);
    bench.backend.append_kv({.k = bench.upload(k, 8),
                             .v = bench.upload(v),
                             .layer = 1,
                             .batch = batch.view(),
                             .kv = *outcome.store,
                             .note = note});
    const std::vector<Site> sites = bench.sites(note, n);
    outcome.sites.insert(outcome.sites.end(), sites.begin(), sites.end());
    const Rows out = bench.blank(n, c.shape.n_heads * dim, 8);
    bench.backend.attention({.q = bench.upload(outcome.q.back(), 16),
                             .n_heads = c.shape.n_heads,
                             .layer = 1,
                             .scale = 1.0f / std::sqrt(static_cast<float>(dim)),
                             .batch = batch.view(),
                             .kv = *outcome.store,
                             .out = out,
                             .key_bias = key_bias(bench, c),
                             .score_cap = c.score_cap,
                             .window = c.window});
    outcome.out.push_back(bench.download(out));
}

KvOutcome run(Backend& backend, const Case& c, uint32_t seed) {
    Rng rng(seed);
    Bench bench(backend);
    const auto n_pages = static_cast<int64_t>(c.first.size()) * kSequencePages;
    KvOutcome outcome{backend.make_kv_store(descriptor_of(c), n_pages), {}, {}, {}};
    step(bench, c, c.first, rng, outcome);
    step(bench, c, c.second, rng, outcome);
    return outcome;
}

bool same_entry(const KvStore::Entry& a, const KvStore::Entry& b) {
    return a.codes == b.codes && a.scales == b.scales && a.zeros == b.zeros &&
           same(a.values, b.values);
}

void expect_same_cache(const Case& c, const KvStore& expected, const KvStore& actual) {
    for (size_t s = 0; s < c.second.size(); ++s) {
        const int64_t length = c.second[s].n_past + c.second[s].n_new;
        for (const KvKind kind : {KvKind::Key, KvKind::Value}) {
            const auto sequence = static_cast<int64_t>(s);
            const auto e = entries_of(expected, kind, 1, sequence, length, kSequencePages);
            const auto a = entries_of(actual, kind, 1, sequence, length, kSequencePages);
            for (size_t i = 0; i < e.size(); ++i) {
                ASSERT_TRUE(same_entry(e[i], a[i]))
                    << (kind == KvKind::Key ? "K" : "V") << " of sequence " << s << ", position "
                    << i / static_cast<size_t>(c.shape.n_kv_heads) << ", codes "
                    << testing::PrintToString(a[i].codes) << " expected "
                    << testing::PrintToString(e[i].codes) << ", scales "
                    << testing::PrintToString(a[i].scales) << " expected "
                    << testing::PrintToString(e[i].scales) << ", zeros "
                    << testing::PrintToString(a[i].zeros) << " expected "
                    << testing::PrintToString(e[i].zeros);
            }
        }
    }
}

double largest(const std::vector<KvStore::Entry>& entries, bool norm) {
    double result = 0.0;
    for (const KvStore::Entry& entry : entries) {
        double squares = 0.0, max = 0.0;
        for (const float x : entry.values) {
            squares += static_cast<double>(x) * x;
            max = std::max(max, std::fabs(static_cast<double>(x)));
        }
        result = std::max(result, norm ? std::sqrt(squares) : max);
    }
    return result;
}

// Of what is added to a key: cos and sin are at most 1, so every row of the basis counts whole.
double bias_norm(const Case& c) {
    if (!c.k_bias_apart) return 0.0;
    const std::vector<float> basis = basis_of(c);
    const auto dim = static_cast<size_t>(c.shape.head_dim);
    double result = 0.0;
    for (size_t head = 0; head < basis.size(); head += dim * dim) {
        double sum = 0.0;
        for (size_t row = head; row < head + dim * dim; row += dim) {
            double squares = 0.0;
            for (size_t i = row; i < row + dim; ++i) squares += 1.0 * basis[i] * basis[i];
            sum += std::sqrt(squares);
        }
        result = std::max(result, sum);
    }
    return result;
}

// |q| |k| / sqrt(head_dim) bounds the sum of |q_i k_i|, the norm of a score.
void expect_near_attention(const Case& c, const KvOutcome& expected, const KvOutcome& actual) {
    double k_norm = 0.0, v_max = 0.0;
    int64_t longest = 0;
    for (size_t s = 0; s < c.second.size(); ++s) {
        const int64_t length = c.second[s].n_past + c.second[s].n_new;
        const auto sequence = static_cast<int64_t>(s);
        const auto& store = *expected.store;
        longest = std::max(longest, length);
        k_norm = std::max(
            k_norm,
            largest(entries_of(store, KvKind::Key, 1, sequence, length, kSequencePages), true));
        v_max = std::max(
            v_max,
            largest(entries_of(store, KvKind::Value, 1, sequence, length, kSequencePages), false));
    }
    k_norm += bias_norm(c);
    const auto dim = static_cast<size_t>(c.shape.head_dim);
    for (size_t step = 0; step < expected.out.size(); ++step) {
        const auto& q = expected.q[step].values;
        const auto limit = [&](size_t i) {
            double squares = 0.0;
            for (size_t j = i / dim * dim; j < (i / dim + 1) * dim; ++j)
                squares += 1.0 * q[j] * q[j];
            const double score_norm = std::sqrt(squares / static_cast<double>(dim)) * k_norm;
            return attention_limit(longest, c.shape.head_dim, score_norm, v_max);
        };
        ASSERT_TRUE(near(expected.out[step].values, actual.out[step].values, limit))
            << "attention of batch " << step;
    }
}

class KvConformance : public FastBackend {
  protected:
    // False: stop here.
    bool check(const Case& c) {
        const uint32_t seed = ++seed_;
        SCOPED_TRACE(describe(c, seed));
        const auto result = unless_unsupported([&] { return run(*subject_, c, seed); });
        if (!result) return true;
        const KvOutcome expected = run(*reference_, c, seed);
        const KvOutcome& actual = *result;
        EXPECT_EQ(expected.sites, actual.sites);
        expect_same_cache(c, *expected.store, *actual.store);
        if (!HasFailure()) expect_near_attention(c, expected, actual);
        return !HasFailure();
    }

  private:
    uint32_t seed_ = 0;
};
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(KvConformance);

KvFormat k_format(int bits) {
    return {.bits = bits, .clip = 0.95f, .range_includes_zero = true};
}
KvFormat v_format(int bits) {
    return {.bits = bits, .clip = 0.95f, .range_includes_zero = false};
}

TEST_P(KvConformance, EveryPairOfWidthsAtEveryHeadShape) {
    for (const AttentionShape& shape : kAttentionShapes) {
        for (const int k : {2, 3, 4, 5, 6, 7, 8, 16}) {
            for (const int v : {2, 3, 4, 5, 6, 7, 8, 16}) {
                if (!check({.shape = shape, .k = k_format(k), .v = v_format(v)})) return;
            }
        }
    }
}

TEST_P(KvConformance, HalfScalesAtEveryHeadShape) {
    for (const AttentionShape& shape : kAttentionShapes) {
        for (const int bits : {2, 4, 5, 8}) {
            Case c{.shape = shape, .k = k_format(bits), .v = v_format(bits)};
            c.v.scales = DType::F16;
            if (!check(c)) return;
            c.k.scales = DType::F16;
            if (!check(c)) return;
            c.page_tokens = 64;  // many rows of one page
            c.first = {{0, 3}, {0, 290}, {0, 64}};
            c.second = {{3, 61}, {290, 9}, {64, 1}};
            if (!check(c)) return;
        }
    }
    for (const Temper temper : kTempers) {
        Case c{.shape = {4, 2, 64}, .k = k_format(4), .v = v_format(4), .temper = temper};
        c.v.scales = DType::F16;
        if (!check(c)) return;
    }
}

TEST_P(KvConformance, GroupsAlongTheHead) {
    for (const int64_t head_dim : kHeadDims) {
        for (const int64_t group : {4, 8, 16, 32, 48, 64}) {
            if (head_dim % group != 0) continue;
            for (const int bits : {2, 4, 8}) {
                Case c{.shape = {4, 2, head_dim}, .k = k_format(bits), .v = v_format(bits)};
                c.k.group_size = c.v.group_size = group;
                if (!check(c)) return;
                c.k.group_size = 0;  // K and V need not share a group
                if (!check(c)) return;
            }
        }
    }
}

TEST_P(KvConformance, TempersOfKAndV) {
    for (const Temper temper : kTempers) {
        for (const int bits : {2, 4, 8, 16}) {
            // Attention over NaN or over values near the end of fp32 has no limit to be held to.
            const bool finite = temper != Temper::NanInside && temper != Temper::InfInside;
            const bool small = temper != Temper::Huge && temper != Temper::Overflow;
            if (bits == 16 && !(finite && small)) continue;
            if (!check({.shape = {4, 2, 64},
                        .k = k_format(bits),
                        .v = v_format(bits),
                        .temper = temper})) {
                return;
            }
        }
    }
}

TEST_P(KvConformance, ExemptPositionsStayFloat) {
    for (const int64_t exempt : {1, 4, 6, 100}) {
        Case c{.shape = {4, 2, 64}, .k = k_format(4), .v = v_format(4)};
        c.k.exempt_positions = exempt;
        c.v.exempt_positions = exempt / 2;
        if (!check(c)) return;
    }
}

TEST_P(KvConformance, PagesOfOtherSizesAndLongerContexts) {
    for (const int64_t page_tokens : {1, 16, 64}) {
        Case c{.shape = {9, 3, 64}, .k = k_format(4), .v = v_format(4), .page_tokens = page_tokens};
        if (page_tokens == 1) {
            c.first = {{0, 2}, {0, 4}, {0, 1}};
            c.second = {{2, 1}, {4, 1}, {1, 3}};
        } else {
            c.first = {{0, 3}, {0, 5 * page_tokens - 9}, {0, page_tokens}};
            c.second = {{3, page_tokens - 3}, {5 * page_tokens - 9, 9}, {page_tokens, 1}};
        }
        if (!check(c)) return;
    }
}

TEST_P(KvConformance, KeysWithoutTheirBiasGetItWhenTheyAreRead) {
    for (const AttentionShape& shape : kAttentionShapes) {
        for (const int bits : {2, 4, 8}) {
            if (!check({.shape = shape,
                        .k = k_format(bits),
                        .v = v_format(bits),
                        .k_bias_apart = true})) {
                return;
            }
        }
    }
}

// Windows shorter and longer than pages, tiles and contexts, alone and with what else changes
// scores.
TEST_P(KvConformance, WindowsAndCappedScores) {
    for (const AttentionShape& shape : kAttentionShapes) {
        for (const int64_t window : {0, 1, 3, 4, 5, 9, 100}) {
            for (const float cap : {0.0f, 2.0f}) {
                for (const bool apart : {false, true}) {
                    Case c{.shape = shape, .k = k_format(4), .v = v_format(4)};
                    c.k_bias_apart = apart;
                    c.score_cap = cap;
                    c.window = window;
                    if (!check(c)) return;
                }
            }
        }
    }
    for (const int64_t window : {1, 40, 64, 65, 128, 300}) {  // whole pages are left out
        for (const int bits : {4, 8, 16}) {
            Case c{.shape = {4, 2, 64}, .k = k_format(bits), .v = v_format(bits)};
            c.page_tokens = 64;
            c.window = window;
            c.first = {{0, 3}, {0, 290}, {0, 64}};
            c.second = {{3, 61}, {290, 9}, {64, 1}};
            if (!check(c)) return;
        }
    }
}

class KvOfAnyBackend : public AnyBackend {};

// Sequences without tokens and padding behind all others change nothing: same cache, same
// attention; the padding's own rows are zeros, and RoPE leaves them.
TEST_P(KvOfAnyBackend, PaddingIsLeftOut) {
    const auto backend = make(GetParam(), 2);
    const Case c{.shape = {4, 2, 64}, .k = k_format(4), .v = v_format(4)};
    constexpr int64_t kPadding = 3;
    Rng rng(11);
    Bench bench(*backend);
    const TestBatch batch(bench, {{0, 5}, {0, 2}}, 4, kSequencePages);
    const TestBatch padded(bench, {{0, 5}, {0, 2}, {0, 0}}, 4, kSequencePages, kPadding);
    const int64_t n = batch.view().n_tokens;
    const Matrix q = normal_matrix(n + kPadding, 256, rng),
                 k = normal_matrix(n + kPadding, 128, rng);
    const RopeTable table{bench.upload(normal_vector(8 * 32, rng)),
                          bench.upload(normal_vector(8 * 32, rng)), 8};
    const auto run = [&](const BatchView& view, KvStore& kv) {
        const Rows q_rows = bench.upload(q.slice(0, view.n_tokens));
        const Rows k_rows = bench.upload(k.slice(0, view.n_tokens));
        const Rows v_rows = bench.upload(k.slice(0, view.n_tokens));
        const Rows out = bench.blank(view.n_tokens, 256);
        backend->rope_transform_append_kv(
            {.rope = {q_rows, k_rows, 64, table, view},
             .append = {k_rows, v_rows, 1, view, kv, {5, view.bad_sites}}});
        backend->attention({q_rows, 4, 1, 0.125f, view, kv, out});
        return std::pair{bench.download(q_rows), bench.download(out)};
    };
    const auto plain_kv = backend->make_kv_store(descriptor_of(c), 3 * kSequencePages);
    const auto padded_kv = backend->make_kv_store(descriptor_of(c), 3 * kSequencePages);
    const auto [plain_q, plain_out] = run(batch.view(), *plain_kv);
    const auto [padded_q, padded_out] = run(padded.view(), *padded_kv);
    EXPECT_TRUE(same(plain_q.values, padded_q.slice(0, n).values));
    EXPECT_TRUE(same(plain_out.values, padded_out.slice(0, n).values));
    EXPECT_TRUE(same(q.slice(n, kPadding).values, padded_q.slice(n, kPadding).values));
    EXPECT_TRUE(same(Matrix(kPadding, 256).values, padded_out.slice(n, kPadding).values));
    for (const KvKind kind : {KvKind::Key, KvKind::Value}) {
        for (int64_t page = 0; page < 3 * kSequencePages; ++page) {
            for (int64_t slot = 0; slot < 4; ++slot) {
                ASSERT_TRUE(same_entry(plain_kv->read(kind, 1, page, slot, 1),
                                       padded_kv->read(kind, 1, page, slot, 1)));
            }
        }
    }
}

TEST_P(KvOfAnyBackend, BytesOfTheCacheAreToldBeforehand) {
    const auto backend = make(GetParam());
    for (const int k : {2, 4, 5, 8, 16}) {
        for (const int v : {3, 4, 7, 16}) {
            for (const AttentionShape& shape : kAttentionShapes) {
                const KvDescriptor d =
                    descriptor_of({.shape = shape, .k = k_format(k), .v = v_format(v)});
                EXPECT_EQ(backend->kv_bytes(d, 7), backend->make_kv_store(d, 7)->bytes())
                    << k << " " << v << " " << shape.head_dim;
            }
        }
    }
    const KvDescriptor d = descriptor_of({.shape = {4, 2, 64}, .k = k_format(4), .v = v_format(4)});
    EXPECT_EQ(backend->kv_bytes(d, std::numeric_limits<int64_t>::max() / 4), std::nullopt);
}

INSTANTIATE_TEST_SUITE_P(All, KvOfAnyBackend, testing::ValuesIn(all_backends()),
                         testing::PrintToStringParamName());
INSTANTIATE_TEST_SUITE_P(Fast, KvConformance, testing::ValuesIn(fast_backends()),
                         testing::PrintToStringParamName());

}  // namespace
}  // namespace quarot::backend_test
