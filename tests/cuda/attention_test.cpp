// Is attention over the paged cache the mean it should be, and are its bits those of the same token
// computed in any other way?
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>

#include "cuda/kv_case.h"

namespace quarot::cuda_test {
namespace {

using namespace kernels;
using namespace kernels::cuda;

class CudaAttention : public OnGpu {};

// Every token of a sequence.
std::vector<Piece> whole(const std::vector<int64_t>& lengths) {
    std::vector<Piece> pieces;
    for (int64_t s = 0; s < std::ssize(lengths); ++s) {
        pieces.push_back({s, 0, lengths[static_cast<size_t>(s)]});
    }
    return pieces;
}

// The last token of each sequence.
std::vector<Piece> last_tokens(const std::vector<int64_t>& lengths) {
    std::vector<Piece> pieces;
    for (int64_t s = 0; s < std::ssize(lengths); ++s) {
        pieces.push_back({s, lengths[static_cast<size_t>(s)] - 1, 1});
    }
    return pieces;
}

// ||actual - expected|| / ||expected|| over all tokens of the pieces.
double relative_error(const KvCase& kv, const std::vector<Piece>& pieces,
                      const AttentionOptions& options, std::span<const float> actual) {
    double error = 0.0, size = 0.0;
    size_t at = 0;
    for (const Piece& piece : pieces) {
        for (int64_t i = 0; i < piece.count; ++i) {
            for (const double e : kv.expected(piece.sequence, piece.first + i, options)) {
                const double difference = actual[at++] - e;
                error += difference * difference;
                size += e * e;
            }
        }
    }
    return std::sqrt(error / size);  // NaN stays NaN
}

// Row `index` of outputs of `cols` values.
std::span<const float> row(std::span<const float> outputs, int64_t index, int64_t cols) {
    return outputs.subspan(static_cast<size_t>(index * cols), static_cast<size_t>(cols));
}

testing::AssertionResult same_bits(std::span<const float> a, std::span<const float> b) {
    for (size_t i = 0; i < a.size(); ++i) {
        if (std::bit_cast<uint32_t>(a[i]) != std::bit_cast<uint32_t>(b[i])) {
            return testing::AssertionFailure() << "value " << i << ": " << a[i] << " and " << b[i];
        }
    }
    return testing::AssertionResult(a.size() == b.size());
}

// ---------------------------------------------------------------- how near

// q and the weights are rounded to halves: 2^-12 each, at scores of a few units.
constexpr double kHalfLimit = 2e-3;

struct FastForm {
    int64_t n_heads, n_kv_heads, head_dim;
    int bits;
    DType rows = DType::F16;
};
const std::vector<FastForm> kFastForms = {
    {4, 4, 128, 4}, {8, 1, 128, 4},  {16, 1, 128, 4},           {6, 2, 128, 4, DType::BF16},
    {4, 4, 128, 8}, {16, 2, 128, 8}, {4, 4, 128, 16},           {8, 1, 128, 16, DType::BF16},
    {3, 3, 64, 4},  {9, 3, 64, 4},   {8, 2, 64, 8, DType::F16}, {12, 1, 64, 16},
};

KvForm form_of(const FastForm& f) {
    return {.n_heads = f.n_heads,
            .n_kv_heads = f.n_kv_heads,
            .head_dim = f.head_dim,
            .k_bits = f.bits,
            .v_bits = f.bits,
            .rows = f.rows,
            .max_pages = 16};
}

TEST_F(CudaAttention, TensorCoresAreNearDoubleInPrefillAndDecode) {
    uint32_t seed = 0;
    for (const FastForm& f : kFastForms) {
        SCOPED_TRACE(describe(form_of(f)));
        const std::vector<int64_t> lengths{333, 64, 1, 90};
        KvCase kv(form_of(f), lengths, ++seed);
        for (const auto& pieces : {whole(lengths), last_tokens(lengths)}) {
            const auto out = kv.attend(pieces, {}, AttentionPath::TensorCores);
            // Rows of bfloat16 round the result itself.
            const double limit = kHalfLimit + (f.rows == DType::BF16 ? 0x1p-9 : 0.0);
            EXPECT_LT(relative_error(kv, pieces, {}, out), limit);
        }
    }
}

// Caches that tensor cores read as halves.
const std::vector<KvForm> kUnpackedForms = {
    {.n_heads = 14, .n_kv_heads = 2, .head_dim = 64, .max_pages = 16, .key_bias = true},
    {.n_heads = 8, .n_kv_heads = 1, .page_tokens = 128, .key_bias = true},
    {.k_bits = 8, .v_bits = 6, .max_pages = 16, .key_bias = true},
    {.k_bits = 8, .v_bits = 3, .rows = DType::BF16, .max_pages = 16},
    {.n_heads = 3, .n_kv_heads = 3, .head_dim = 64, .k_bits = 4, .v_bits = 16, .max_pages = 16},
};

TEST_F(CudaAttention, CachesReadAsHalvesAreNear) {
    const std::vector<int64_t> lengths{333, 64, 1, 90};
    for (const KvForm& form : kUnpackedForms) {
        SCOPED_TRACE(describe(form));
        KvCase kv(form, lengths, 13);
        for (const AttentionOptions& options :
             {AttentionOptions{}, {.window = 1}, {.window = 100, .score_cap = 5.0f}}) {
            for (const auto& pieces : {whole(lengths), last_tokens(lengths)}) {
                const auto out = kv.attend(pieces, options, AttentionPath::Unpacked);
                const double limit = kHalfLimit + (form.rows == DType::BF16 ? 0x1p-9 : 0.0);
                EXPECT_LT(relative_error(kv, pieces, options, out), limit)
                    << "window " << options.window;
            }
        }
    }
}

// Values that no code can stand for are kept as they came, for whoever reads the logits to find.
TEST_F(CudaAttention, HalvesKeepWhatIsNotFinite) {
    KvForm form = kUnpackedForms.back();
    form.value_size = std::numeric_limits<float>::infinity();
    KvCase kv(form, {70}, 4);
    const auto out = kv.attend({{0, 69, 1}}, {}, AttentionPath::Unpacked);
    EXPECT_TRUE(std::ranges::none_of(out, [](float x) { return std::isfinite(x); }));
}

TEST_F(CudaAttention, EveryWidthOfTwoToEightBitsIsNear) {
    for (const int bits : {2, 3, 5, 6, 7}) {
        KvForm form{.k_bits = bits, .v_bits = bits <= 4 ? 6 - bits : 13 - bits};
        SCOPED_TRACE(describe(form));
        const std::vector<int64_t> lengths{130};
        KvCase kv(form, lengths, 77);
        const auto out = kv.attend(whole(lengths), {}, AttentionPath::TensorCores);
        EXPECT_LT(relative_error(kv, whole(lengths), {}, out), kHalfLimit);
    }
}

TEST_F(CudaAttention, WindowsAndCappedScoresAreNear) {
    const std::vector<int64_t> lengths{400, 70};
    for (const FastForm& f : {kFastForms[0], kFastForms[1], kFastForms[6], kFastForms[9]}) {
        SCOPED_TRACE(describe(form_of(f)));
        KvCase kv(form_of(f), lengths, 9);
        for (const AttentionOptions& options : {AttentionOptions{.window = 1},
                                                {.window = 100},
                                                {.window = 257},
                                                {.window = 1000},
                                                {.score_cap = 2.0f},
                                                {.window = 65, .score_cap = 5.0f}}) {
            for (const auto& pieces : {whole(lengths), last_tokens(lengths)}) {
                const auto out = kv.attend(pieces, options, AttentionPath::TensorCores);
                EXPECT_LT(relative_error(kv, pieces, options, out), kHalfLimit)
                    << "window " << options.window << " cap " << options.score_cap;
            }
        }
    }
}

// Weights times V's scales are small or large, as far as halves do not reach; one position takes
// nearly all the weight.
TEST_F(CudaAttention, ValuesOfAnySizeKeepTheirPrecision) {
    for (const float size : {1e-9f, 1e-4f, 1e3f}) {
        for (const float scale_factor : {0.01f, 4.0f}) {
            // Values keep their size only where they are codes.
            KvForm form{.rows = DType::BF16, .value_size = size};
            const std::vector<int64_t> lengths{300};
            KvCase kv(form, lengths, 21);
            const AttentionOptions options{.scale_factor = scale_factor};
            const auto out = kv.attend(last_tokens(lengths), options, AttentionPath::TensorCores);
            EXPECT_LT(relative_error(kv, last_tokens(lengths), options, out), 4e-3)
                << "size " << size << " scores times " << scale_factor;
        }
    }
}

TEST_F(CudaAttention, LongContextsAreNear) {
    for (const int bits : {4, 16}) {
        KvForm form{
            .n_heads = 8, .n_kv_heads = 1, .k_bits = bits, .v_bits = bits, .max_pages = 150};
        const std::vector<int64_t> lengths{9001, 4096};
        KvCase kv(form, lengths, 5);
        const auto out = kv.attend(last_tokens(lengths), {}, AttentionPath::TensorCores);
        EXPECT_LT(relative_error(kv, last_tokens(lengths), {}, out), kHalfLimit) << bits;
    }
}

// The limit of tests/backend for fp32: of a score, then of the mean (docs/numerics.md).
void expect_near_fp32(const KvForm& form, const KvCase& kv, const std::vector<Piece>& pieces,
                      const AttentionOptions& options, std::span<const float> actual) {
    const double eps = std::numeric_limits<float>::epsilon();
    const double dim = static_cast<double>(form.head_dim);
    const double score = 4.0 * dim / std::sqrt(dim) * (form.key_bias ? 2.0 : 1.0);
    size_t at = 0;
    for (const Piece& piece : pieces) {
        for (int64_t i = 0; i < piece.count; ++i) {
            const int64_t position = piece.first + i;
            const double n = static_cast<double>(position + 1);
            const double limit =
                5.0 * (2.0 * (12.0 + std::sqrt(dim)) * eps * score + (8.0 + std::sqrt(n)) * eps);
            for (const double e : kv.expected(piece.sequence, position, options)) {
                ASSERT_NEAR(actual[at++], e, limit) << describe(form) << " position " << position;
            }
        }
    }
}

TEST_F(CudaAttention, GeneralPathIsNearDoubleInFp32) {
    uint32_t seed = 40;
    for (const auto& [n_heads, n_kv_heads, head_dim] : {std::array<int64_t, 3>{2, 2, 8},
                                                        {9, 3, 64},
                                                        {4, 1, 96},
                                                        {4, 2, 128},
                                                        {2, 1, 256},
                                                        {5, 1, 80}}) {
        for (const auto& [k_bits, v_bits] :
             {std::pair{4, 4}, {2, 8}, {16, 4}, {5, 3}, {16, 16}, {8, 7}}) {
            for (const int64_t page_tokens : {4, 64}) {
                const KvForm form{.n_heads = n_heads,
                                  .n_kv_heads = n_kv_heads,
                                  .head_dim = head_dim,
                                  .page_tokens = page_tokens,
                                  .k_bits = k_bits,
                                  .v_bits = v_bits,
                                  .rows = DType::F32,
                                  .max_pages = 320 / page_tokens};
                const std::vector<int64_t> lengths{41, 1, 300};
                KvCase kv(form, lengths, ++seed);
                const std::vector<Piece> pieces{{0, 0, 41}, {1, 0, 1}, {2, 290, 10}};
                for (const auto& p : {pieces, last_tokens(lengths)}) {
                    const auto out = kv.attend(p, {}, AttentionPath::General);
                    expect_near_fp32(form, kv, p, {}, out);
                    if (HasFailure()) return;
                }
            }
        }
    }
}

TEST_F(CudaAttention, GeneralPathKnowsWindowsCapsAndKeyBiases) {
    const std::vector<int64_t> lengths{300, 20};
    const std::vector<Piece> pieces{{0, 250, 50}, {1, 0, 20}};
    for (const bool key_bias : {false, true}) {
        const KvForm form{.rows = DType::F32, .max_pages = 8, .key_bias = key_bias};
        KvCase kv(form, lengths, 3);
        for (const AttentionOptions& options : {AttentionOptions{},
                                                {.window = 40},
                                                {.score_cap = 3.0f},
                                                {.window = 33, .score_cap = 9.0f}}) {
            expect_near_fp32(form, kv, pieces, options,
                             kv.attend(pieces, options, AttentionPath::General));
            expect_near_fp32(form, kv, last_tokens(lengths), options,
                             kv.attend(last_tokens(lengths), options, AttentionPath::General));
        }
    }
}

// ---------------------------------------------------------------- the same bits

struct BitForm {
    KvForm form;
    AttentionPath path;
};

std::vector<BitForm> bit_forms() {
    std::vector<BitForm> forms;
    for (const FastForm& f : kFastForms) {
        forms.push_back({form_of(f), AttentionPath::TensorCores});
    }
    for (const KvForm& form : kUnpackedForms) forms.push_back({form, AttentionPath::Unpacked});
    forms.push_back({{.n_heads = 6, .n_kv_heads = 2, .head_dim = 96, .k_bits = 3, .v_bits = 8},
                     AttentionPath::General});
    forms.push_back(
        {{.page_tokens = 16, .rows = DType::F32, .max_pages = 32}, AttentionPath::General});
    return forms;
}

TEST_F(CudaAttention, PrefillWholeInChunksAndTokenByTokenGiveTheSameBits) {
    for (const auto& [form, path] : bit_forms()) {
        SCOPED_TRACE(describe(form));
        constexpr int64_t kLength = 301;
        for (const int64_t window : {0, 70}) {
            KvCase kv(form, {kLength}, 11);
            const AttentionOptions options{.window = window};
            const auto at_once = kv.attend({{0, 0, kLength}}, options, path);
            const int64_t cols = kv.out_cols();
            for (const int64_t chunk : {7, 64, 100}) {
                for (int64_t first = 0; first < kLength; first += chunk) {
                    const int64_t count = std::min(chunk, kLength - first);
                    const auto out = kv.attend({{0, first, count}}, options, path);
                    for (int64_t i = 0; i < count; ++i) {
                        ASSERT_TRUE(same_bits(row(at_once, first + i, cols), row(out, i, cols)))
                            << "chunk " << chunk << " position " << first + i;
                    }
                }
            }
            for (const int64_t position : {0, 1, 15, 16, 63, 64, 127, 200, 255, 256, 257, 300}) {
                const auto out = kv.attend({{0, position, 1}}, options, path);
                ASSERT_TRUE(same_bits(row(at_once, position, cols), out))
                    << "window " << window << " token " << position;
            }
        }
    }
}

TEST_F(CudaAttention, AnyBatchAroundASequenceGivesTheSameBits) {
    for (const auto& [form, path] : bit_forms()) {
        SCOPED_TRACE(describe(form));
        const std::vector<int64_t> lengths{310, 65, 1, 129, 256};
        KvCase kv(form, lengths, 12);
        const int64_t cols = kv.out_cols();
        // Prefill chunks, decode steps and padding, several times over.
        const std::vector<std::vector<Piece>> batches = {
            {{0, 300, 10}, {1, 64, 1}, {2, 0, 1}, {3, 100, 29}, {4, 255, 1}},
            {{4, 0, 256}, {2, -1, 1}, {0, 309, 1}},
            {{0, 309, 1}, {1, -1, 1}, {3, 128, 1}, {4, 200, 1}},
            {{1, 10, 55}, {3, -1, 3}},
            {{0, 308, 2}, {1, 0, 0}},
        };
        for (const std::vector<Piece>& batch : batches) {
            const auto together = kv.attend(batch, {}, path);
            int64_t at = 0;
            for (const Piece& piece : batch) {
                const auto mine = std::span(together).subspan(
                    static_cast<size_t>(at * cols), static_cast<size_t>(piece.count * cols));
                at += piece.count;
                if (piece.count == 0) continue;
                if (piece.first < 0) {
                    ASSERT_TRUE(std::ranges::all_of(mine, [](float x) { return x == 0.0f; }));
                } else {
                    ASSERT_TRUE(same_bits(kv.attend({piece}, {}, path), mine))
                        << "sequence " << piece.sequence << " from " << piece.first;
                }
            }
        }
    }
}

// Far more chunks than the device holds at a time, then so many rows that a warp takes all chunks
// of one; a context of more tiles than a warp knows the pages of.
TEST_F(CudaAttention, ManySequencesChangeNoBit) {
    const KvForm form{.n_heads = 8, .n_kv_heads = 8, .head_dim = 64, .max_pages = 180};
    for (const size_t n_sequences : {40, 300}) {
        std::vector<int64_t> lengths(n_sequences, 5);
        lengths[3] = 1500;
        lengths[17] = 2777;
        KvCase kv(form, lengths, 14);
        for (const int64_t window : {0, 600}) {
            const AttentionOptions options{.window = window};
            const auto together =
                kv.attend(last_tokens(lengths), options, AttentionPath::TensorCores);
            for (const int64_t s : {3, 17, 39}) {
                const Piece piece{s, lengths[static_cast<size_t>(s)] - 1, 1};
                EXPECT_TRUE(same_bits(row(together, s, kv.out_cols()),
                                      kv.attend({piece}, options, AttentionPath::TensorCores)))
                    << n_sequences << " sequences, window " << window << ", sequence " << s;
            }
        }
    }
}

// A larger bound of contexts changes the grid and the workspace only; repeats change nothing.
TEST_F(CudaAttention, BoundsAndRepeatsChangeNoBit) {
    KvForm form = form_of(kFastForms[1]);
    const std::vector<int64_t> lengths{500, 33};
    KvCase small(form, lengths, 13);
    form.max_pages = 64;
    KvCase large(form, lengths, 13);
    const auto pieces = last_tokens(lengths);
    const auto out = small.attend(pieces, {}, AttentionPath::TensorCores);
    EXPECT_TRUE(same_bits(out, small.attend(pieces, {}, AttentionPath::TensorCores)));
    EXPECT_TRUE(same_bits(out, large.attend(pieces, {}, AttentionPath::TensorCores)));
}

}  // namespace
}  // namespace quarot::cuda_test
