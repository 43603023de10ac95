// Keys by channel: are codes and scales of full blocks those of docs/quarot.md 6.3, does a token
// see its own block as it came and earlier ones by their codes, and are the bits the same however
// the tokens were split into steps, seated and shared?
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <optional>

#include "backend/cases.h"
#include "backend/test_batch.h"
#include "tensor/float_convert.h"

namespace quarot::backend_test {
namespace {

using namespace kernels;

constexpr int64_t kMaxPages = 6;  // of a sequence
constexpr int64_t kKeyLayers = 2;
constexpr int64_t kSeats = 3;

struct KeyForm {
    AttentionShape shape = {4, 2, 64};
    int bits = 4;
    int64_t block = 64;
    int64_t page_tokens = 64;
    float clip = 1.0f;
    bool k_bias_apart = false;
    float score_cap = 0.0f;
    int64_t window = 0;
    Temper temper = Temper::Normal;

    KvDescriptor descriptor() const {
        return {.n_layers = kKeyLayers,
                .n_kv_heads = shape.n_kv_heads,
                .head_dim = shape.head_dim,
                .page_tokens = page_tokens,
                .k = {.bits = bits, .axis = KvAxis::Channel, .block = block, .clip = clip},
                .v = {.bits = 16},
                .k_bias_apart = k_bias_apart,
                .sequences = kSeats};
    }
    int64_t kv_width() const { return shape.n_kv_heads * shape.head_dim; }
    std::string describe() const {
        return fmt::format(
            "heads {}/{} of {}, {} bits, blocks of {} in pages of {}, clip {}, bias "
            "apart {}, cap {}, window {}",
            shape.n_heads, shape.n_kv_heads, shape.head_dim, bits, block, page_tokens, clip,
            k_bias_apart, score_cap, window);
    }
};

// The rows of one sequence from its first token on.
struct Sequence {
    Sequence(const KeyForm& form, int64_t length, Rng& rng)
        : q(normal_matrix(length, form.shape.n_heads * form.shape.head_dim, rng)),
          k(make_matrix(form.temper, length, form.kv_width(), rng)),
          v(normal_matrix(length, form.kv_width(), rng)) {}
    Matrix q, k, v;
};

struct Angles {
    Angles(const KeyForm& form) : half(form.shape.head_dim / 2) {
        const int64_t n = kMaxPages * form.page_tokens;
        for (int64_t i = 0; i < n * half; ++i) {
            const double angle = static_cast<double>(i / half) / static_cast<double>(1 + i % half);
            cos.push_back(static_cast<float>(std::cos(angle)));
            sin.push_back(static_cast<float>(std::sin(angle)));
        }
        Rng rng(77);
        basis = normal_vector(form.shape.n_kv_heads * 4 * half * half, rng);
        for (float& value : basis) value /= std::sqrt(2.0f * static_cast<float>(half));
    }
    int64_t half;
    std::vector<float> cos, sin, basis;
};

// A cache, and the steps that fill it.
class Trial {
  public:
    Trial(Backend& backend, const KeyForm& form)
        : form_(form),
          bench_(backend),
          store_(backend.make_kv_store(form.descriptor(), kSeats * kMaxPages)) {
        if (!form.k_bias_apart) return;
        const Angles angles(form);
        bias_ = {
            bench_.upload(angles.basis),
            {bench_.upload(angles.cos), bench_.upload(angles.sin), kMaxPages * form.page_tokens}};
    }

    // Runs a step of `pieces`, piece s of sequences[s]; returns what attention gives its tokens.
    Matrix step(const std::vector<const Sequence*>& sequences, const std::vector<Piece>& pieces) {
        const TestBatch batch(bench_, pieces, form_.page_tokens, kMaxPages);
        const BatchView& view = batch.view();
        const Rows q = bench_.upload(joined(sequences, pieces, &Sequence::q), 16);
        const Rows k = bench_.upload(joined(sequences, pieces, &Sequence::k), 8);
        const Rows v = bench_.upload(joined(sequences, pieces, &Sequence::v));
        const Rows out = bench_.blank(view.n_tokens, q.cols, 8);
        const SiteNote note = bench_.note(5, view.n_tokens);
        // Another layer's keys come between, as in a model.
        const Rows other_k = bench_.upload(Matrix(view.n_tokens, k.cols));
        bench_.backend.append_kv(
            {.k = k, .v = v, .layer = 1, .batch = view, .kv = *store_, .note = note});
        attend(q, k, view, out);
        bench_.backend.append_kv({.k = other_k, .v = v, .layer = 0, .batch = view, .kv = *store_});
        sites_ = bench_.sites(note, view.n_tokens);
        return bench_.download(out);
    }

    // Of one sequence in pieces of `chunk` tokens.
    Matrix whole(const Sequence& sequence, int64_t chunk, int64_t seat = 0, int64_t past = 0) {
        const int64_t length = sequence.q.rows;
        Matrix all(length - past, sequence.q.cols);
        for (int64_t at = past; at < length; at += chunk) {
            const int64_t n = std::min(chunk, length - at);
            const Matrix out = step({&sequence}, {{at, n, seat}});
            std::copy(out.values.begin(), out.values.end(), all.row(at - past));
        }
        return all;
    }

    const KvStore& store() const { return *store_; }
    const std::vector<Site>& sites() const { return sites_; }  // of the last step

  private:
    static Matrix joined(const std::vector<const Sequence*>& sequences,
                         const std::vector<Piece>& pieces, Matrix Sequence::*which) {
        Matrix all(0, (sequences.front()->*which).cols);
        for (size_t s = 0; s < pieces.size(); ++s) {
            const Matrix part = (sequences[s]->*which).slice(pieces[s].n_past, pieces[s].n_new);
            all.values.insert(all.values.end(), part.values.begin(), part.values.end());
            all.rows += part.rows;
        }
        return all;
    }

    void attend(const Rows& q, const Rows& k, const BatchView& view, const Rows& out) {
        const auto dim = static_cast<float>(form_.shape.head_dim);
        bench_.backend.attention({.q = q,
                                  .n_heads = form_.shape.n_heads,
                                  .layer = 1,
                                  .scale = 1.0f / std::sqrt(dim),
                                  .batch = view,
                                  .kv = *store_,
                                  .out = out,
                                  .k = k,
                                  .key_bias = bias_,
                                  .score_cap = form_.score_cap,
                                  .window = form_.window});
    }

    KeyForm form_;
    Bench bench_;
    std::unique_ptr<KvStore> store_;
    KeyBias bias_;
    std::vector<Site> sites_;
};

float as_half(float x) {
    return f16_to_f32(f32_to_f16(x));
}

// What one channel's codes over a block should be.
struct Column {
    float scale = 0.0f, offset = 0.0f;
    std::vector<int32_t> codes;
    float value(int64_t row) const {
        return scale * static_cast<float>(codes[static_cast<size_t>(row)]) + offset;
    }
};

Column column_of(const KeyForm& form, const Matrix& k, int64_t first, int64_t channel) {
    float lo = k.row(first)[channel], hi = lo;
    for (int64_t p = first; p < first + form.block; ++p) {
        lo = std::min(lo, k.row(p)[channel]);
        hi = std::max(hi, k.row(p)[channel]);
    }
    const float middle = 0.5f * lo + 0.5f * hi, half = (0.5f * hi - 0.5f * lo) * form.clip;
    const auto last = static_cast<float>((1 << form.bits) - 1);
    const float range = (middle + half) - (middle - half);
    Column column = {as_half(std::max(range / last, 0x1p-14f)), as_half(middle - half), {}};
    for (int64_t p = first; p < first + form.block; ++p) {
        const float q = std::nearbyint((k.row(p)[channel] - column.offset) / column.scale);
        column.codes.push_back(static_cast<int32_t>(std::clamp(q, 0.0f, last)));
    }
    return column;
}

// The keys as codes have them, of full blocks.
Matrix dequantized(const KeyForm& form, const Matrix& k) {
    Matrix values(k.rows, k.cols);
    for (int64_t first = 0; first + form.block <= k.rows; first += form.block) {
        for (int64_t c = 0; c < k.cols; ++c) {
            const Column column = column_of(form, k, first, c);
            for (int64_t row = 0; row < form.block; ++row) {
                values.row(first + row)[c] = column.value(row);
            }
        }
    }
    return values;
}

// Keys and what the cache leaves out of them.
std::vector<double> with_bias(const KeyForm& form, const Matrix& k) {
    std::vector<double> keys(k.values.begin(), k.values.end());
    if (!form.k_bias_apart) return keys;
    const Angles angles(form);
    const int64_t dim = form.shape.head_dim, half = angles.half;
    for (int64_t p = 0; p < k.rows; ++p) {
        for (int64_t c = 0; c < k.cols; ++c) {
            const float* basis = angles.basis.data() + c / dim * dim * dim + c % dim;
            for (int64_t j = 0; j < half; ++j) {
                const auto at = static_cast<size_t>(p * half + j);
                keys[static_cast<size_t>(p * k.cols + c)] +=
                    1.0 * angles.cos[at] * basis[j * dim] +
                    1.0 * angles.sin[at] * basis[(half + j) * dim];
            }
        }
    }
    return keys;
}

// Attention as ops.h defines it, fp64, and the limit for a backend's fp32.
struct Expected {
    Matrix out;
    double score_norm = 0.0;
};

Expected attention_of(const KeyForm& form, const Sequence& s) {
    const Matrix codes = dequantized(form, s.k);
    const int64_t dim = form.shape.head_dim;
    Expected expected{Matrix(s.q.rows, s.q.cols)};
    const std::vector<double> own = with_bias(form, s.k), earlier = with_bias(form, codes);
    const auto key_at = [&](int64_t query, int64_t p, int64_t head, int64_t i) {
        const bool is_own = p / form.block == query / form.block;
        return (is_own ? own : earlier)[static_cast<size_t>(p * s.k.cols + head * dim + i)];
    };
    for (int64_t t = 0; t < s.q.rows; ++t) {
        for (int64_t h = 0; h < form.shape.n_heads; ++h) {
            const int64_t kv_head = h / (form.shape.n_heads / form.shape.n_kv_heads);
            const int64_t first = first_seen(t, form.window);
            std::vector<double> scores;
            for (int64_t p = first; p <= t; ++p) {
                double score = 0.0, norm = 0.0;
                for (int64_t i = 0; i < dim; ++i) {
                    const double product = s.q.row(t)[h * dim + i] * key_at(t, p, kv_head, i);
                    score += product;
                    norm += std::fabs(product);
                }
                const double scale = 1.0 / std::sqrt(static_cast<double>(dim));
                score *= scale;
                // Codes reach their value as scale * code + offset, each about as large.
                expected.score_norm = std::max(expected.score_norm, 3.0 * norm * scale);
                if (form.score_cap != 0.0f) {
                    score = form.score_cap * std::tanh(score / form.score_cap);
                }
                scores.push_back(score);
            }
            const double max = *std::ranges::max_element(scores);
            double sum = 0.0;
            for (double& score : scores) sum += score = std::exp(score - max);
            for (int64_t i = 0; i < dim; ++i) {
                double mixed = 0.0;
                for (int64_t p = first; p <= t; ++p) {
                    mixed += scores[static_cast<size_t>(p - first)] * s.v.row(p)[kv_head * dim + i];
                }
                expected.out.row(t)[h * dim + i] = static_cast<float>(mixed / sum);
            }
        }
    }
    return expected;
}

testing::AssertionResult near_attention(const KeyForm& form, const Sequence& s, const Matrix& out) {
    const Expected expected = attention_of(form, s);
    double v_max = 0.0;
    for (const float v : s.v.values) v_max = std::max(v_max, std::fabs(static_cast<double>(v)));
    const double limit = attention_limit(s.q.rows, form.shape.head_dim, expected.score_norm, v_max);
    return near(expected.out.values, out.values, [&](size_t) { return limit; });
}

class KeysByChannel : public testing::TestWithParam<Subject> {
  protected:
    // Calls test(backend), unless the backend refuses keys by channel.
    void each(const KeyForm& form, const std::function<void(Backend&)>& test, int n_threads = 1) {
        const auto backend = make(GetParam(), n_threads);
        SCOPED_TRACE(form.describe());
        try {
            backend->make_kv_store(form.descriptor(), 1);
        } catch (const Error& error) {
            if (error.code() != ErrorCode::Unsupported || !refuses(error.what())) throw;
            GTEST_SKIP() << error.what();
        }
        test(*backend);
    }

  private:
    bool refuses(const std::string& message) const {
        return std::ranges::any_of(kKnownRefusals, [&](const Refusal& known) {
            return known.backend == GetParam().backend &&
                   message.find(known.words) != std::string::npos;
        });
    }
};

TEST_P(KeysByChannel, CodesAndScalesOfFullBlocks) {
    for (const int bits : {2, 3, 4, 5, 8}) {
        for (const float clip : {1.0f, 0.9f}) {
            for (const int64_t block : {16, 32, 64}) {
                for (const Temper temper : {Temper::Normal, Temper::Outliers, Temper::Zeros,
                                            Temper::Constant, Temper::FarOff, Temper::Subnormal}) {
                    const KeyForm form{.shape = {3, 3, 24},
                                       .bits = bits,
                                       .block = block,
                                       .clip = clip,
                                       .temper = temper};
                    each(form, [&](Backend& backend) {
                        Rng rng(3);
                        const Sequence sequence(form, 2 * block + 5, rng);
                        Trial trial(backend, form);
                        trial.whole(sequence, 2 * block + 5);
                        for (const Site site : trial.sites()) ASSERT_EQ(site, kNoSite);
                        const auto entries =
                            entries_of(trial.store(), KvKind::Key, 1, 0, 2 * block, kMaxPages);
                        for (int64_t c = 0; c < form.kv_width(); ++c) {
                            for (int64_t p = 0; p < 2 * block; ++p) {
                                const Column column =
                                    column_of(form, sequence.k, p / block * block, c);
                                const auto& entry = entries[static_cast<size_t>(p * 3 + c / 24)];
                                const auto at = static_cast<size_t>(c % 24);
                                ASSERT_EQ(entry.codes[at],
                                          column.codes[static_cast<size_t>(p % block)]);
                                ASSERT_EQ(entry.scales[at], column.scale);
                                ASSERT_EQ(entry.offsets[at], column.offset);
                                ASSERT_EQ(entry.values[at], column.value(p % block));
                            }
                        }
                    });
                    if (HasFailure() || IsSkipped()) return;
                }
            }
        }
    }
}

TEST_P(KeysByChannel, OwnBlocksCountAsTheyCameAndEarlierOnesByCodesInAnySplit) {
    std::vector<KeyForm> forms;
    for (const AttentionShape& shape : kAttentionShapes) {
        forms.push_back({.shape = shape});
        forms.push_back({.shape = shape, .block = 32, .k_bias_apart = true});
        forms.push_back({.shape = shape, .bits = 8, .block = 16, .window = 70});
    }
    for (const int64_t window : {1, 40, 64, 65, 130}) {
        forms.push_back({.window = window});
        forms.push_back({.block = 32, .k_bias_apart = true, .score_cap = 2.0f, .window = window});
    }
    forms.push_back({.bits = 2, .block = 64, .page_tokens = 128});
    for (const KeyForm& form : forms) {
        each(form, [&](Backend& backend) {
            Rng rng(5);
            const Sequence sequence(form, 203, rng);
            const Matrix whole = Trial(backend, form).whole(sequence, 203);
            ASSERT_TRUE(near_attention(form, sequence, whole));
            for (const int64_t chunk : {1, 7, 64, 65, 150}) {
                const Matrix split = Trial(backend, form).whole(sequence, chunk);
                ASSERT_TRUE(same(whole.values, split.values)) << "steps of " << chunk;
            }
            const auto threaded = make(GetParam(), 3);
            ASSERT_TRUE(same(whole.values, Trial(*threaded, form).whole(sequence, 203).values));
        });
        if (HasFailure() || IsSkipped()) return;
    }
}

// Steps that hold several sequences, whose seats and places in the batch differ, give each the bits
// it has alone; so does a seat that another sequence has left in the middle of a block.
TEST_P(KeysByChannel, SequencesDoNotMeet) {
    const KeyForm form{.shape = {9, 3, 64}};
    each(form, [&](Backend& backend) {
        Rng rng(7);
        const Sequence a(form, 150, rng), b(form, 150, rng);
        const Matrix alone_a = Trial(backend, form).whole(a, 150);
        const Matrix alone_b = Trial(backend, form).whole(b, 150);
        Trial both(backend, form);
        both.whole(b, 50, 1);  // leaves 50 keys in seat 1
        const auto expect = [&](const std::vector<Piece>& pieces) {
            const Matrix out = both.step({&a, &b}, pieces);
            ASSERT_TRUE(same(alone_a.slice(pieces[0].n_past, pieces[0].n_new).values,
                             out.slice(0, pieces[0].n_new).values));
            ASSERT_TRUE(same(alone_b.slice(pieces[1].n_past, pieces[1].n_new).values,
                             out.slice(pieces[0].n_new, pieces[1].n_new).values));
        };
        expect({{0, 30, 1}, {0, 100, 2}});
        expect({{30, 70, 1}, {100, 1, 2}});
        expect({{100, 1, 1}, {101, 0, 2}});
        expect({{101, 49, 1}, {101, 49, 2}});
    });
}

// A sequence that begins on pages of another, in a seat of its own, has the bits of one that ran
// those tokens itself.
TEST_P(KeysByChannel, SharedPagesGiveTheBitsOfOwnOnes) {
    for (const int64_t block : {16, 64}) {
        const KeyForm form{.block = block};
        each(form, [&](Backend& backend) {
            Rng rng(9);
            const Sequence first(form, 170, rng);
            Sequence second(form, 190, rng);
            for (Matrix Sequence::*which : {&Sequence::q, &Sequence::k, &Sequence::v}) {
                std::copy_n((first.*which).values.begin(), 128 * (first.*which).cols,
                            (second.*which).values.begin());
            }
            Trial trial(backend, form);
            trial.whole(first, 45, 0);
            const Matrix shared = trial.whole(second, 23, 2, 128);
            const Matrix own = Trial(backend, form).whole(second, 190).slice(128, 62);
            ASSERT_TRUE(same(own.values, shared.values));
        });
    }
}

TEST_P(KeysByChannel, NotesTokensThatCannotBeScaled) {
    const KeyForm form{.shape = {2, 2, 8}, .block = 16};
    each(form, [&](Backend& backend) {
        Rng rng(11);
        for (const float bad : {std::nanf(""), std::numeric_limits<float>::infinity(), 3e6f}) {
            Sequence sequence(form, 40, rng);
            sequence.k.row(19)[3] = bad;
            // A number beyond F16 is found when its block is full.
            const size_t noted = bad == 3e6f ? 31 : 19;
            for (const int64_t first : {40, 20}) {
                Trial trial(backend, form);
                std::vector<Site> sites;
                for (const Piece piece : {Piece{0, first}, Piece{first, 40 - first}}) {
                    if (piece.n_new == 0) continue;
                    trial.step({&sequence}, {piece});
                    sites.insert(sites.end(), trial.sites().begin(), trial.sites().end());
                }
                EXPECT_EQ(sites[noted], 5);
                if (bad == 3e6f) {
                    EXPECT_EQ(std::ranges::count(sites, kNoSite), 39);
                }
                for (size_t i = 0; i < noted; ++i) EXPECT_EQ(sites[i], kNoSite) << i;
            }
        }
    });
}

TEST_P(KeysByChannel, BytesAreToldBeforehandWithTheNewestBlocks) {
    for (const int bits : {2, 4, 8}) {
        for (const int64_t block : {16, 64}) {
            const KeyForm form{.bits = bits, .block = block};
            each(form, [&](Backend& backend) {
                KvDescriptor d = form.descriptor();
                d.v = {.bits = 4, .scales = DType::F16};
                EXPECT_EQ(backend.kv_bytes(d, 7), backend.make_kv_store(d, 7)->bytes());
                const int64_t bytes = backend.kv_bytes(d, 7).value();
                d.sequences += 2;
                EXPECT_EQ(backend.kv_bytes(d, 7).value() - bytes, 2 * newest_block_bytes(d));
                d.sequences = std::numeric_limits<int64_t>::max() / 4;
                EXPECT_EQ(backend.kv_bytes(d, 7), std::nullopt);
            });
        }
    }
    KvDescriptor d = KeyForm{}.descriptor();
    EXPECT_EQ(newest_block_bytes(d), (kKeyLayers + 1) * 2 * 64 * 64 * 4);
    d.v = {.bits = 4};
    EXPECT_EQ(kv_bytes_per_token(d), kKeyLayers * 2 * (64 * 4 + 64 * 32 / 64 + 64 * 4 + 48) / 8);
    d.v.scales = DType::F16;
    EXPECT_EQ(2 * kv_bytes_per_token(d), kKeyLayers * 2 * (64 + 64) * 9 / 8) << "4.5 bits a value";
}

TEST_P(KeysByChannel, RefusesBlocksThatCrossPagesAndValuesByChannel) {
    const auto backend = make(GetParam());
    const auto code_of = [&](const KvDescriptor& d) -> std::optional<ErrorCode> {
        try {
            backend->kv_bytes(d, 1);
        } catch (const Error& error) {
            return error.code();
        }
        return std::nullopt;
    };
    KvDescriptor d = KeyForm{}.descriptor();
    for (const int64_t block : {0, 48, 128}) {
        d.k.block = block;
        EXPECT_EQ(code_of(d), ErrorCode::Unsupported) << block;
    }
    d = KeyForm{}.descriptor();
    d.v = {.bits = 4, .axis = KvAxis::Channel};
    EXPECT_EQ(code_of(d), ErrorCode::Unsupported);
}

INSTANTIATE_TEST_SUITE_P(All, KeysByChannel, testing::ValuesIn(all_backends()),
                         testing::PrintToStringParamName());

}  // namespace
}  // namespace quarot::backend_test
