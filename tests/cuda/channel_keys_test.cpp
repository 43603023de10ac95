// Attention over keys by channel in halves: is it the mean it should be, by the keys of a token's
// own block as they came and earlier ones by their codes, and are its bits the same however the
// tokens were split into steps and whatever else is in the batch?
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>

#include "cuda/kv_case.h"
#include "kernels/cuda/status.h"

namespace quarot::cuda_test {
namespace {

using namespace kernels;
using namespace kernels::cuda;

struct ChannelForm {
    int64_t n_heads = 4, n_kv_heads = 4, head_dim = 128;
    int64_t block = 64;
    int k_bits = 4, v_bits = 4;
    AttentionPath path = AttentionPath::TensorCores;
    int64_t max_pages = 8;

    KvDescriptor descriptor(int64_t sequences) const {
        return {.n_layers = 2,
                .n_kv_heads = n_kv_heads,
                .head_dim = head_dim,
                .page_tokens = 64,
                .k = {.bits = k_bits, .axis = KvAxis::Channel, .block = block},
                .v = {.bits = v_bits, .range_includes_zero = false},
                .sequences = sequences};
    }
    std::string describe() const {
        return fmt::format("heads {}/{} of {}, K {} bits in blocks of {}, V {} bits", n_heads,
                           n_kv_heads, head_dim, k_bits, block, v_bits);
    }
};

const std::vector<ChannelForm> kForms = {
    {},
    {.block = 32},
    {.n_heads = 8, .n_kv_heads = 1},
    {.n_heads = 16, .n_kv_heads = 1, .block = 32},
    {.n_heads = 9, .n_kv_heads = 3, .head_dim = 64},
    {.n_heads = 3, .n_kv_heads = 3, .head_dim = 64, .block = 32, .k_bits = 3, .v_bits = 2},
    {.block = 16, .path = AttentionPath::General},
    {.k_bits = 8, .v_bits = 8, .path = AttentionPath::General},
    {.n_heads = 2, .n_kv_heads = 2, .head_dim = 96, .path = AttentionPath::General},
};

// A cache, and the steps that fill it; rows are halves.
class ChannelTrial {
  public:
    ChannelTrial(const ChannelForm& form, std::vector<int64_t> lengths)
        : form_(form),
          view_(make_kv_view(form.descriptor(std::ssize(lengths)),
                             std::ssize(lengths) * form.max_pages, DType::F16)),
          cache_(kv_bytes(view_)) {
        view_.memory = cache_.as<std::byte>();
        check(cudaMemset(cache_.data(), 0xFF, static_cast<size_t>(cache_.bytes())), "cudaMemset");
        std::mt19937 random(17);
        for (const int64_t length : lengths) {
            q_.push_back(normal(length * q_cols(), random));
            k_.push_back(normal(length * kv_cols(), random));
            v_.push_back(normal(length * kv_cols(), random));
            // Channels have a middle of their own.
            for (size_t i = 0; i < k_.back().size(); ++i) {
                k_.back()[i] += static_cast<float>(i % 5) - 2.0f;
            }
            k_.back() = rounded(DType::F16, k_.back());
        }
    }

    int64_t q_cols() const { return form_.n_heads * form_.head_dim; }
    int64_t kv_cols() const { return form_.n_kv_heads * form_.head_dim; }

    // Appends the pieces' tokens; what attention gives them, [n_tokens, q_cols()].
    std::vector<float> step(const std::vector<Piece>& pieces,
                            const AttentionOptions& options = {}) {
        constexpr int64_t kPadding = 24;
        const DeviceBatch batch(pieces, form_.max_pages);
        const int64_t n = batch.view().n_tokens;
        const auto rows_of = [&](const Memory& memory, int64_t cols) {
            return RowsView{memory.data(), DType::F16, n, cols, cols + kPadding};
        };
        const Memory q = upload_rows(DType::F16, gather(pieces, q_, q_cols()), q_cols(), kPadding);
        const Memory k =
            upload_rows(DType::F16, gather(pieces, k_, kv_cols()), kv_cols(), kPadding);
        const Memory v =
            upload_rows(DType::F16, gather(pieces, v_, kv_cols()), kv_cols(), kPadding);
        const Memory bad = upload(std::vector<int32_t>(static_cast<size_t>(n), 1 << 30));
        append({.k = rows_of(k, kv_cols()),
                .v = rows_of(v, kv_cols()),
                .head_dim = form_.head_dim,
                .kv = view_,
                .layer = 1,
                .batch = batch.view(),
                .bad_site = bad.as<int32_t>()},
               nullptr);
        const Memory out(n * (q_cols() + kPadding) * 2);
        AttentionCall call{.q = rows_of(q, q_cols()),
                           .n_heads = form_.n_heads,
                           .kv = view_,
                           .layer = 1,
                           .scale = 1.0f / std::sqrt(static_cast<float>(form_.head_dim)),
                           .score_cap = options.score_cap,
                           .window = options.window,
                           .key_bias = {},
                           .k = rows_of(k, kv_cols()),
                           .batch = batch.view(),
                           .max_context = form_.max_pages * 64,
                           .out = rows_of(out, q_cols())};
        const Memory workspace(attention_workspace_bytes(call));
        call.workspace = workspace.data();
        EXPECT_EQ(attention_path(call), form_.path);
        attention(call, nullptr);
        synchronize();
        bytes_.clear();
        EXPECT_TRUE(out.guards_intact() && workspace.guards_intact() && cache_.guards_intact());
        const std::vector<int32_t> sites = download<int32_t>(bad);
        EXPECT_TRUE(std::ranges::all_of(sites, [](int32_t site) { return site == 1 << 30; }));
        return download_rows(DType::F16, out, q_cols(), kPadding);
    }

    // In double, over the dequantized cache.
    std::vector<double> expected(int64_t sequence, int64_t position,
                                 const AttentionOptions& options) const {
        std::vector<double> out(static_cast<size_t>(q_cols()));
        const int64_t dim = form_.head_dim, per_kv = form_.n_heads / form_.n_kv_heads;
        const int64_t first =
            options.window > 0 ? std::max<int64_t>(0, position - options.window + 1) : 0;
        for (int64_t head = 0; head < form_.n_heads; ++head) {
            const float* q = q_[static_cast<size_t>(sequence)].data() + position * q_cols();
            std::vector<double> weights;
            double sum = 0.0;
            for (int64_t p = first; p <= position; ++p) {
                const std::vector<float> key = key_at(sequence, position, p, head / per_kv);
                double score = 0.0;
                for (int64_t i = 0; i < dim; ++i) {
                    score += q[head * dim + i] * key[static_cast<size_t>(i)];
                }
                score /= std::sqrt(static_cast<double>(dim));
                if (options.score_cap > 0.0f) {
                    score = options.score_cap * std::tanh(score / options.score_cap);
                }
                weights.push_back(std::exp(score));
                sum += weights.back();
            }
            for (int64_t p = first; p <= position; ++p) {
                const auto value = entry(KvKind::Value, sequence, p, head / per_kv).values;
                const double weight = weights[static_cast<size_t>(p - first)] / sum;
                for (int64_t i = 0; i < dim; ++i) {
                    out[static_cast<size_t>(head * dim + i)] +=
                        weight * value[static_cast<size_t>(i)];
                }
            }
        }
        return out;
    }

  private:
    static std::vector<float> normal(int64_t n, std::mt19937& random) {
        std::normal_distribution<float> distribution;
        std::vector<float> values(static_cast<size_t>(n));
        for (float& value : values) value = distribution(random);
        return rounded(DType::F16, values);
    }

    static std::vector<float> gather(const std::vector<Piece>& pieces,
                                     const std::vector<std::vector<float>>& from, int64_t cols) {
        std::vector<float> rows;
        for (const Piece& piece : pieces) {
            const auto first = from[static_cast<size_t>(piece.sequence)].begin() +
                               std::max<int64_t>(piece.first, 0) * cols;
            rows.insert(rows.end(), first, first + piece.count * cols);
        }
        return rows;
    }

    KvStore::Entry entry(KvKind kind, int64_t sequence, int64_t position, int64_t head) const {
        const int64_t page = DeviceBatch::page_of(sequence, position / 64, form_.max_pages);
        if (bytes_.empty()) bytes_ = download<std::byte>(cache_);
        const std::span tile(bytes_.data() + view_.tile_at(1, page, head, position % 64),
                             static_cast<size_t>(view_.tile_bytes));
        return read_entry(view_, kind, tile, static_cast<int>(position % 64));
    }

    // What the query at `position` sees of the key at p.
    std::vector<float> key_at(int64_t sequence, int64_t position, int64_t p, int64_t head) const {
        if (p / form_.block != position / form_.block) {
            return entry(KvKind::Key, sequence, p, head).values;
        }
        const auto first =
            k_[static_cast<size_t>(sequence)].begin() + p * kv_cols() + head * form_.head_dim;
        return {first, first + form_.head_dim};
    }

    ChannelForm form_;
    KvView view_;
    Memory cache_;
    mutable std::vector<std::byte> bytes_;  // of the cache, once somebody has asked for an entry
    std::vector<std::vector<float>> q_, k_, v_;  // [sequence][position][heads * head_dim]
};

testing::AssertionResult equal_bits(std::span<const float> a, std::span<const float> b) {
    if (a.size() != b.size()) return testing::AssertionFailure() << "sizes";
    for (size_t i = 0; i < a.size(); ++i) {
        if (std::bit_cast<uint32_t>(a[i]) != std::bit_cast<uint32_t>(b[i])) {
            return testing::AssertionFailure() << "value " << i << ": " << a[i] << " and " << b[i];
        }
    }
    return testing::AssertionSuccess();
}

// Token `index` of `count` in outputs of `cols` values.
std::span<const float> rows(std::span<const float> outputs, int64_t index, int64_t count,
                            int64_t cols) {
    return outputs.subspan(static_cast<size_t>(index * cols), static_cast<size_t>(count * cols));
}

class CudaChannelKeys : public OnGpu {};

constexpr int64_t kLength = 203;

// q, keys and weights are rounded to halves.
TEST_F(CudaChannelKeys, AttentionIsNearDouble) {
    for (const ChannelForm& form : kForms) {
        SCOPED_TRACE(form.describe());
        for (const AttentionOptions& options :
             {AttentionOptions{}, {.window = 70}, {.window = 33, .score_cap = 5.0f}}) {
            ChannelTrial trial(form, {kLength});
            const auto out = trial.step({{0, 0, kLength}}, options);
            double error = 0.0, size = 0.0;
            for (const int64_t position : {0, 1, 31, 32, 63, 64, 95, 96, 127, 128, 150, 202}) {
                const auto row = rows(out, position, 1, trial.q_cols());
                const auto expected = trial.expected(0, position, options);
                for (size_t i = 0; i < row.size(); ++i) {
                    error += (row[i] - expected[i]) * (row[i] - expected[i]);
                    size += expected[i] * expected[i];
                }
            }
            EXPECT_LT(std::sqrt(error / size), 2e-3) << "window " << options.window;
        }
    }
}

TEST_F(CudaChannelKeys, AnySplitIntoStepsGivesTheSameBits) {
    for (const ChannelForm& form : kForms) {
        SCOPED_TRACE(form.describe());
        for (const int64_t window : {0, 70}) {
            const AttentionOptions options{.window = window};
            ChannelTrial whole(form, {kLength});
            const auto at_once = whole.step({{0, 0, kLength}}, options);
            for (const int64_t chunk : {1, 7, 64, 65, 150}) {
                ChannelTrial split(form, {kLength});
                for (int64_t first = 0; first < kLength; first += chunk) {
                    const int64_t count = std::min(chunk, kLength - first);
                    const auto out = split.step({{0, first, count}}, options);
                    ASSERT_TRUE(equal_bits(rows(at_once, first, count, split.q_cols()), out))
                        << "window " << window << " steps of " << chunk << " at " << first;
                }
            }
        }
    }
}

TEST_F(CudaChannelKeys, SequencesOfABatchDoNotMeet) {
    for (const ChannelForm& form : kForms) {
        SCOPED_TRACE(form.describe());
        const std::vector<int64_t> lengths{kLength, 150, 66};
        ChannelTrial trial(form, lengths);
        const int64_t cols = trial.q_cols();
        std::vector<std::vector<float>> alone;
        for (int64_t s = 0; s < 3; ++s) {
            ChannelTrial one(form, lengths);
            alone.push_back(one.step({{s, 0, lengths[static_cast<size_t>(s)]}}));
        }
        // Prompts, single tokens, padding, and sequences without tokens.
        const std::vector<std::vector<Piece>> steps = {
            {{0, 0, 30}, {1, 0, 100}, {2, 0, 1}},   {{0, 30, 70}, {1, 100, 1}, {2, 1, 62}},
            {{0, 100, 1}, {1, 101, 1}, {2, 63, 1}}, {{0, 101, 1}, {1, 102, 0}, {2, 64, 1}},
            {{1, 102, 30}, {0, 102, 101}},          {{1, 132, 18}, {2, 65, 1}},
        };
        for (const std::vector<Piece>& step : steps) {
            const auto out = trial.step(step);
            int64_t at = 0;
            for (const Piece& piece : step) {
                const auto& own = alone[static_cast<size_t>(piece.sequence)];
                ASSERT_TRUE(equal_bits(rows(own, piece.first, piece.count, cols),
                                       rows(out, at, piece.count, cols)))
                    << "sequence " << piece.sequence << " at " << piece.first;
                at += piece.count;
            }
        }
    }
}

// So many rows that a warp takes all chunks of one, and some with more chunks than a CTA has warps.
TEST_F(CudaChannelKeys, ManySequencesChangeNoBit) {
    for (const int64_t block : {32, 64}) {
        const ChannelForm form{
            .n_heads = 8, .n_kv_heads = 8, .head_dim = 64, .block = block, .max_pages = 24};
        for (const size_t n_sequences : {40, 300}) {
            std::vector<int64_t> lengths(n_sequences, 5);
            lengths[3] = 1500;
            lengths[17] = 1313;
            ChannelTrial trial(form, lengths);
            std::vector<Piece> last;
            for (int64_t s = 0; s < std::ssize(lengths); ++s) {
                const int64_t length = lengths[static_cast<size_t>(s)];
                trial.step({{s, 0, length - 1}});
                last.push_back({s, length - 1, 1});
            }
            const auto together = trial.step(last);
            for (const int64_t s : {3, 17, 39}) {
                // Appending a token once more changes nothing.
                ASSERT_TRUE(equal_bits(rows(together, s, 1, trial.q_cols()),
                                       trial.step({last[static_cast<size_t>(s)]})))
                    << n_sequences << " sequences, " << s;
            }
        }
    }
}

// Factors of channels are all different, inside the tile and beside the codes.
TEST(KvChannelLayout, GivesEveryFactorAPlaceOfItsOwn) {
    for (const int64_t head_dim : {8, 24, 64, 80, 128, 256}) {
        for (const int bits : {4, 8}) {
            for (const int64_t block : {16, 32, 64}) {
                const ChannelForm form{.head_dim = head_dim, .block = block, .k_bits = bits};
                const KvView view = make_kv_view(form.descriptor(1), 1, DType::F16);
                std::vector<bool> taken(static_cast<size_t>(view.tile_bytes));
                for (int slot = 0; slot < 64; slot += static_cast<int>(block)) {
                    for (int dim = 0; dim < head_dim; ++dim) {
                        const int at = channel_place(view.k, slot, dim);
                        ASSERT_EQ(at, channel_place(view.k, slot + 15, dim));
                        ASSERT_GE(at, view.k.codes_at + 64 * view.k.row_bytes);
                        ASSERT_LE(at + 6, view.v.codes_at);
                        for (const int byte : {at, at + 4}) {
                            ASSERT_FALSE(taken[static_cast<size_t>(byte)]);
                            taken[static_cast<size_t>(byte)] = true;
                        }
                    }
                }
            }
        }
    }
}

}  // namespace
}  // namespace quarot::cuda_test
