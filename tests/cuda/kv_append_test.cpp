// Does the cache hold the codes, scales and zero points of the host's formulas?
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "core/error.h"
#include "cuda/kv_case.h"
#include "linalg/mixer.h"
#include "tensor/affine.h"

namespace quarot::cuda_test {
namespace {

using namespace kernels;
using namespace kernels::cuda;

class KvAppend : public OnGpu {};

constexpr int32_t kNoSite = 1 << 30;

Affine host_affine(std::span<const float> values, const KvFormat& format) {
    auto [lo, hi] = std::ranges::minmax(values);
    if (format.range_includes_zero) {
        lo = std::min(lo, 0.0f);
        hi = std::max(hi, 0.0f);
    }
    return asymmetric_affine(lo * format.clip, hi * format.clip, format.bits);
}

// Equal codes, scale and zero point, or equal values.
void expect_stored(std::span<const float> values, const KvFormat& format,
                   const KvStore::Entry& entry) {
    ASSERT_EQ(entry.values.size(), values.size());
    if (format.bits == 16) {
        for (size_t i = 0; i < values.size(); ++i) ASSERT_EQ(entry.values[i], values[i]);
        return;
    }
    const Affine affine = host_affine(values, format);
    ASSERT_EQ(entry.scales.at(0), affine.scale);
    ASSERT_EQ(entry.zeros.at(0), affine.zero);
    for (size_t i = 0; i < values.size(); ++i) {
        const int32_t code = quantize_asymmetric(values[i], affine, format.bits);
        ASSERT_EQ(entry.codes[i], code) << "dimension " << i;
        ASSERT_EQ(entry.values[i], affine.scale * static_cast<float>(code - affine.zero));
    }
}

void expect_cache(const KvForm& form, const std::vector<int64_t>& lengths, uint32_t seed) {
    SCOPED_TRACE(describe(form));
    const KvCase cache(form, lengths, seed);
    const KvDescriptor descriptor = form.descriptor();
    for (int64_t s = 0; s < std::ssize(lengths); ++s) {
        for (int64_t p = 0; p < lengths[static_cast<size_t>(s)]; ++p) {
            for (int64_t head = 0; head < form.n_kv_heads; ++head) {
                SCOPED_TRACE(fmt::format("sequence {} position {} head {}", s, p, head));
                expect_stored(cache.vector(KvKind::Key, s, p, head), descriptor.k,
                              cache.entry(KvKind::Key, s, p, head));
                expect_stored(cache.vector(KvKind::Value, s, p, head), descriptor.v,
                              cache.entry(KvKind::Value, s, p, head));
                if (testing::Test::HasFailure()) return;
            }
        }
    }
}

TEST_F(KvAppend, StoresTheHostsCodesAtEveryWidthAndHeadSize) {
    uint32_t seed = 1;
    for (const int64_t head_dim : {8, 64, 80, 90, 96, 128, 256}) {
        for (const int bits : {2, 3, 4, 5, 6, 7, 8, 16}) {
            const int v_bits = bits == 16 ? 4 : 10 - bits;
            for (const DType rows : {DType::F32, DType::F16}) {
                expect_cache({.head_dim = head_dim,
                              .page_tokens = 4,
                              .k_bits = bits,
                              .v_bits = v_bits,
                              .rows = rows},
                             {9, 1}, ++seed);
                if (HasFailure()) return;
            }
        }
    }
}

TEST_F(KvAppend, StoresRowsOfBfloat16AndPagesOfSeveralTiles) {
    for (const int64_t page_tokens : {1, 64, 128}) {
        expect_cache({.page_tokens = page_tokens, .rows = DType::BF16}, {7, 3}, 5);
        expect_cache({.head_dim = 80, .page_tokens = page_tokens, .rows = DType::BF16}, {7, 3}, 6);
    }
}

TEST_F(KvAppend, StoresManyTokensOfManyHeads) {
    for (const int64_t head_dim : {64, 128, 256}) {
        for (const int bits : {3, 8, 16}) {
            expect_cache({.n_kv_heads = 4, .head_dim = head_dim, .k_bits = bits, .v_bits = 4},
                         {400, 130}, 8);
            if (HasFailure()) return;
        }
    }
}

// One token's k and v rows of fp32 into a cache of its own.
struct OneToken {
    KvForm form;
    KvView view;
    Memory cache;

    explicit OneToken(const KvForm& f)
        : form(f),
          view(make_kv_view(f.descriptor(), f.max_pages, DType::F32)),
          cache(kv_bytes(view)) {
        view.memory = cache.as<std::byte>();
    }

    // Returns the bad site.
    int32_t store(const std::vector<float>& k, const std::vector<float>& v) {
        const DeviceBatch batch({{0, 2, 1}}, form.max_pages);
        const int64_t cols = form.n_kv_heads * form.head_dim;
        const Memory k_rows = upload(k), v_rows = upload(v);
        const Memory bad = upload(std::vector<int32_t>{kNoSite});
        append({.k = {k_rows.data(), DType::F32, 1, cols, cols},
                .v = {v_rows.data(), DType::F32, 1, cols, cols},
                .head_dim = form.head_dim,
                .kv = view,
                .batch = batch.view(),
                .site = 7,
                .bad_site = bad.as<int32_t>()},
               nullptr);
        synchronize();
        return download<int32_t>(bad)[0];
    }

    KvStore::Entry entry(KvKind kind, int64_t head) const {
        const std::vector<std::byte> bytes = download<std::byte>(cache);
        const int64_t page = DeviceBatch::page_of(0, 2 / form.page_tokens, form.max_pages);
        const int64_t slot = 2 % form.page_tokens;
        const std::span tile(bytes.data() + view.tile_at(0, page, head, slot),
                             static_cast<size_t>(view.tile_bytes));
        return read_entry(view, kind, tile, static_cast<int>(slot % view.tile_tokens));
    }
};

using Temper = std::pair<const char*, float (*)(int64_t)>;
constexpr std::array kTempers = {
    Temper{"zeros", [](int64_t) { return 0.0f; }},
    Temper{"negative zeros", [](int64_t) { return -0.0f; }},
    Temper{"constant", [](int64_t) { return 3.25f; }},
    Temper{"negative constant", [](int64_t) { return -0.1f; }},
    Temper{"narrow band", [](int64_t i) { return 1000.0f + 0.001f * static_cast<float>(i % 7); }},
    Temper{"ties", [](int64_t i) { return static_cast<float>(i % 31) * 0.5f; }},
    Temper{"subnormal", [](int64_t i) { return static_cast<float>(i % 5) * 1e-42f; }},
    Temper{"huge", [](int64_t i) { return static_cast<float>(i % 9 - 4) * 2e37f; }},
    Temper{"outlier", [](int64_t i) { return i == 5 ? 300.0f : std::sin(static_cast<float>(i)); }},
};

TEST_F(KvAppend, RoundsEveryTemperAsTheHostDoes) {
    for (const auto& [name, value] : kTempers) {
        for (const int64_t head_dim : {64, 96}) {
            for (const int bits : {2, 4, 8}) {
                SCOPED_TRACE(fmt::format("{} head {} bits {}", name, head_dim, bits));
                OneToken token({.n_kv_heads = 1,
                                .head_dim = head_dim,
                                .page_tokens = 4,
                                .k_bits = bits,
                                .v_bits = bits});
                std::vector<float> values;
                for (int64_t i = 0; i < head_dim; ++i) values.push_back(value(i));
                EXPECT_EQ(token.store(values, values), kNoSite);
                const KvDescriptor d = token.form.descriptor();
                expect_stored(values, d.k, token.entry(KvKind::Key, 0));
                expect_stored(values, d.v, token.entry(KvKind::Value, 0));
                if (HasFailure()) return;
            }
        }
    }
}

TEST_F(KvAppend, NotesTheSiteOfWhatIsNotFiniteAndStoresZeros) {
    constexpr float kInf = std::numeric_limits<float>::infinity();
    for (const int64_t head_dim : {64, 80}) {
        for (const float bad : {std::nanf(""), kInf, -kInf, 3e38f}) {
            OneToken token({.n_kv_heads = 2, .head_dim = head_dim, .page_tokens = 4});
            std::vector<float> good(static_cast<size_t>(2 * head_dim), 1.5f), k = good;
            k[3] = bad;
            k[4] = -bad;
            EXPECT_EQ(token.store(k, good), 7) << bad;
            const KvStore::Entry entry = token.entry(KvKind::Key, 0);
            EXPECT_EQ(entry.scales[0], 1.0f);
            EXPECT_EQ(entry.zeros[0], 0);
            EXPECT_EQ(entry.codes, std::vector<int32_t>(static_cast<size_t>(head_dim), 0));
            // The other vectors of the token are as ever.
            expect_stored(std::span(good).first(static_cast<size_t>(head_dim)),
                          token.form.descriptor().k, token.entry(KvKind::Key, 1));
        }
    }
}

// RoPE and R3 in double.
struct Rotated {
    int64_t dim;
    std::vector<float> cos, sin;

    Rotated(int64_t d, int64_t positions) : dim(d) {
        for (int64_t p = 0; p < positions; ++p) {
            for (int64_t i = 0; i < d / 2; ++i) {
                const double angle =
                    static_cast<double>(p) *
                    std::pow(10000.0, -2.0 * static_cast<double>(i) / static_cast<double>(d));
                cos.push_back(static_cast<float>(std::cos(angle)));
                sin.push_back(static_cast<float>(std::sin(angle)));
            }
        }
    }

    std::vector<double> apply(const linalg::Mixer& mixer, std::span<const float> head,
                              int64_t position) const {
        std::vector<double> x(head.begin(), head.end());
        const auto half = static_cast<size_t>(dim / 2);
        for (size_t i = 0; i < half; ++i) {
            const double c = cos[static_cast<size_t>(position) * half + i];
            const double s = sin[static_cast<size_t>(position) * half + i];
            const double a = x[i], b = x[i + half];
            x[i] = a * c - b * s;
            x[i + half] = b * c + a * s;
        }
        linalg::apply(mixer, x);
        return x;
    }
};

// RoPE's error of a pair, then the transform's: (4 + sqrt(n)/2) eps of the norm, as in
// docs/numerics.md.
void expect_rotated(std::span<const double> expected, std::span<const float> actual, float step) {
    double squares = 0.0;
    for (const double x : expected) squares += x * x;
    const double n = static_cast<double>(expected.size());
    const double limit =
        (8.0 + std::sqrt(n) / 2.0) * std::numeric_limits<float>::epsilon() * std::sqrt(squares);
    for (size_t i = 0; i < expected.size(); ++i) {
        ASSERT_NEAR(expected[i], actual[i], limit + step * std::fabs(expected[i])) << i;
    }
}

struct RotateForm {
    int64_t dim, tokens, heads, kv_heads;
    DType rows;
};

// Runs q and k of some tokens through `append` into a cache of floats and compares both.
void expect_rotated_rows(const RotateForm& form) {
    SCOPED_TRACE(
        fmt::format("head {} tokens {} rows {}", form.dim, form.tokens, name_of(form.rows)));
    constexpr int64_t kFirst = 6, kPadding = 8;
    const int64_t n = form.tokens, dim = form.dim;
    const int64_t q_cols = form.heads * dim, k_cols = form.kv_heads * dim;
    std::mt19937 random(static_cast<uint32_t>(dim));
    std::normal_distribution<float> normal;
    std::vector<float> q(static_cast<size_t>(n * q_cols)), k(static_cast<size_t>(n * k_cols));
    for (float& x : q) x = normal(random);
    for (float& x : k) x = normal(random);
    q = rounded(form.rows, q);
    k = rounded(form.rows, k);
    const KvForm kv{.n_kv_heads = form.kv_heads,
                    .head_dim = dim,
                    .page_tokens = 16,
                    .k_bits = 16,
                    .v_bits = 16,
                    .max_pages = 40};
    KvView view = make_kv_view(kv.descriptor(), kv.max_pages, DType::F32);
    const Memory cache(kv_bytes(view));
    view.memory = cache.as<std::byte>();
    const linalg::Mixer mixer = linalg::make_mixer(dim);
    const Rotated rotated(dim, kFirst + n);
    const Memory cos = upload(rotated.cos), sin = upload(rotated.sin);
    const auto order = static_cast<size_t>(mixer.dense_order), stride = order + 3;
    std::vector<float> transposed(order * stride, std::numeric_limits<float>::quiet_NaN());
    for (size_t i = 0; i < mixer.dense.size(); ++i) {
        transposed[i % order * stride + i / order] = static_cast<float>(mixer.dense[i]);
    }
    const Memory dense = upload(transposed);
    const Memory q_rows = upload_rows(form.rows, q, q_cols, kPadding);
    const Memory k_rows = upload_rows(form.rows, k, k_cols, kPadding);
    const DeviceBatch batch({{0, kFirst, n}}, kv.max_pages);
    const Memory bad = upload(std::vector<int32_t>(static_cast<size_t>(n), kNoSite));
    append({.q = {q_rows.data(), form.rows, n, q_cols, q_cols + kPadding},
            .k = {k_rows.data(), form.rows, n, k_cols, k_cols + kPadding},
            .v = {k_rows.data(), form.rows, n, k_cols, k_cols + kPadding},
            .head_dim = dim,
            .rope = {cos.as<float>(), sin.as<float>()},
            .transform = {static_cast<int>(order), dense.as<float>(), static_cast<int>(stride),
                          1.0f / std::sqrt(static_cast<float>(dim))},
            .kv = view,
            .layer = 1,
            .batch = batch.view(),
            .bad_site = bad.as<int32_t>()},
           nullptr);
    synchronize();
    const std::vector<float> q_out = download_rows(form.rows, q_rows, q_cols, kPadding);
    const std::vector<std::byte> bytes = download<std::byte>(cache);
    const auto head_of = [&](const std::vector<float>& rows, int64_t head) {
        return std::span(rows).subspan(static_cast<size_t>(head * dim), static_cast<size_t>(dim));
    };
    for (int64_t t = 0; t < n; ++t) {
        const int64_t position = kFirst + t;
        for (int64_t h = t * form.heads; h < (t + 1) * form.heads; ++h) {
            expect_rotated(rotated.apply(mixer, head_of(q, h), position), head_of(q_out, h),
                           form.rows == DType::F32 ? 0.0f : 0x1p-8f);
        }
        for (int64_t h = 0; h < form.kv_heads; ++h) {
            const int64_t page = DeviceBatch::page_of(0, position / 16, kv.max_pages);
            const std::span tile(bytes.data() + view.tile_at(1, page, h, position % 16),
                                 static_cast<size_t>(view.tile_bytes));
            const auto slot = static_cast<int>(position % 16);
            const auto before = head_of(k, t * form.kv_heads + h);
            expect_rotated(rotated.apply(mixer, before, position),
                           read_entry(view, KvKind::Key, tile, slot).values, 0.0f);
            // V is neither rotated nor transformed.
            const auto value = read_entry(view, KvKind::Value, tile, slot).values;
            ASSERT_TRUE(std::ranges::equal(value, before));
        }
        if (testing::Test::HasFailure()) return;
    }
}

TEST_F(KvAppend, RotatesAndTransformsQueriesAndKeys) {
    for (const int64_t dim : {8, 64, 80, 96, 128, 256}) {
        for (const DType rows : {DType::F32, DType::BF16}) {
            expect_rotated_rows({dim, 5, 3, 1, rows});
            expect_rotated_rows({dim, 520, 8, 4, rows});
            if (HasFailure()) return;
        }
    }
}

TEST_F(KvAppend, LeavesPaddingAlone) {
    constexpr int64_t kDim = 64;
    const KvForm form{.n_kv_heads = 1, .head_dim = kDim, .page_tokens = 4};
    KvView view = make_kv_view(form.descriptor(), 2 * form.max_pages, DType::F16);
    const Memory cache(kv_bytes(view));
    view.memory = cache.as<std::byte>();
    const DeviceBatch batch({{0, 0, 1}, {1, -1, 3}}, form.max_pages);
    const std::vector<float> rows(4 * kDim, std::nanf(""));
    const Memory k = upload(rows), bad = upload(std::vector<int32_t>(4, kNoSite));
    const RowsView view_of_rows{k.data(), DType::F32, 4, kDim, kDim};
    append({.k = view_of_rows,
            .v = view_of_rows,
            .head_dim = kDim,
            .kv = view,
            .batch = batch.view(),
            .site = 2,
            .bad_site = bad.as<int32_t>()},
           nullptr);
    synchronize();
    EXPECT_EQ(download<int32_t>(bad), (std::vector<int32_t>{2, kNoSite, kNoSite, kNoSite}));
    std::vector<std::byte> bytes = download<std::byte>(cache);
    // Only the tile of sequence 0 was written.
    const auto page = DeviceBatch::page_of(0, 0, form.max_pages);
    const auto first = bytes.begin() + view.tile_at(0, page, 0, 0);
    bytes.erase(first, first + view.tile_bytes);
    EXPECT_TRUE(std::ranges::all_of(bytes, [](std::byte b) { return b == std::byte{0xA5}; }));
    EXPECT_TRUE(cache.guards_intact());
}

TEST(KvLayout, RefusesWhatCudaDoesNotKeep) {
    const auto refused = [](KvDescriptor d) {
        try {
            make_kv_view(d, 1, DType::F16);
        } catch (const Error& error) {
            return error.code() == ErrorCode::Unsupported;
        }
        return false;
    };
    const KvDescriptor good = KvForm{}.descriptor();
    EXPECT_FALSE(refused(good));
    const auto with = [&](auto change) {
        KvDescriptor d = good;
        change(d);
        return refused(d);
    };
    EXPECT_TRUE(with([](KvDescriptor& d) { d.k.bits = 1; }));
    EXPECT_TRUE(with([](KvDescriptor& d) { d.v.bits = 9; }));
    EXPECT_TRUE(with([](KvDescriptor& d) { d.k.group_size = 32; }));
    EXPECT_TRUE(with([](KvDescriptor& d) { d.v.exempt_positions = 1; }));
    EXPECT_TRUE(with([](KvDescriptor& d) { d.k.clip = 0.0f; }));
    EXPECT_TRUE(with([](KvDescriptor& d) { d.v.scales = DType::BF16; }));
    EXPECT_FALSE(with([](KvDescriptor& d) { d.k.scales = d.v.scales = DType::F16; }));
    EXPECT_TRUE(with([](KvDescriptor& d) { d.head_dim = 257; }));
    EXPECT_TRUE(with([](KvDescriptor& d) { d.page_tokens = 96; }));
}

TEST(KvLayout, SaysWhenASizeDoesNotFit) {
    KvDescriptor d = KvForm{}.descriptor();
    d.n_layers = int64_t{1} << 30;
    try {
        make_kv_view(d, int64_t{1} << 40, DType::F16);
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::OutOfMemory);
    }
}

// Places of a row's codes are all different and inside the row.
TEST(KvLayout, GivesEveryCodeAPlaceOfItsOwn) {
    for (const int64_t head_dim : {8, 64, 80, 90, 128, 256}) {
        for (const int bits : {4, 8, 16}) {
            KvDescriptor d = KvForm{.head_dim = head_dim}.descriptor();
            d.k.bits = bits;
            const KvView view = make_kv_view(d, 1, DType::F16);
            std::vector<bool> taken(static_cast<size_t>(view.tile_bytes * 2));
            for (int slot = 0; slot < view.tile_tokens; ++slot) {
                for (int dim = 0; dim < head_dim; ++dim) {
                    const KvCodePlace place = code_place(view.k, slot, dim);
                    const auto at = static_cast<size_t>(2 * place.byte + place.shift / 4);
                    ASSERT_LT(place.byte, bits == 16 ? view.v.codes_at : view.k.scales_at);
                    ASSERT_FALSE(taken[at]);
                    taken[at] = true;
                }
            }
        }
    }
}

}  // namespace
}  // namespace quarot::cuda_test
