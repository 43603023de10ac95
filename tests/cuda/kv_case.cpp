#include "cuda/kv_case.h"

#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/check.h"
#include "kernels/cuda/status.h"
#include "tensor/float_convert.h"

namespace quarot::cuda_test {

using namespace kernels;
using namespace kernels::cuda;

namespace {

constexpr int64_t kPadding = 24;  // elements after every row of q, k, v and out

std::vector<float> normal_values(int64_t n, float size, std::mt19937& random) {
    std::normal_distribution<float> normal(0.0f, size);
    std::vector<float> values(static_cast<size_t>(n));
    for (float& value : values) value = normal(random);
    return values;
}

RowsView rows_view(const Memory& memory, DType dtype, int64_t rows, int64_t cols) {
    return {memory.data(), dtype, rows, cols, cols + kPadding};
}

std::vector<float> gather(const std::vector<Piece>& pieces,
                          const std::vector<std::vector<float>>& from, int64_t cols) {
    std::vector<float> rows;
    for (const Piece& piece : pieces) {
        const std::vector<float>& sequence = from[static_cast<size_t>(piece.sequence)];
        const int64_t first = std::max<int64_t>(piece.first, 0);
        rows.insert(rows.end(), sequence.begin() + first * cols,
                    sequence.begin() + (first + piece.count) * cols);
    }
    return rows;
}

}  // namespace

KvDescriptor KvForm::descriptor() const {
    return {.n_layers = 2,
            .n_kv_heads = n_kv_heads,
            .head_dim = head_dim,
            .page_tokens = page_tokens,
            .k = {.bits = k_bits, .clip = 0.95f, .range_includes_zero = true},
            .v = {.bits = v_bits, .clip = 0.95f, .range_includes_zero = false},
            .k_bias_apart = key_bias};
}

std::string describe(const KvForm& form) {
    return fmt::format("heads {}/{} of {}, pages of {}, K {} bits, V {} bits, rows {}{}",
                       form.n_heads, form.n_kv_heads, form.head_dim, form.page_tokens, form.k_bits,
                       form.v_bits, name_of(form.rows), form.key_bias ? ", key bias" : "");
}

DeviceBatch::DeviceBatch(const std::vector<Piece>& pieces, int64_t max_pages) {
    std::vector<int32_t> positions, sequence_of_token, first_token{0}, tables, first_page{0};
    std::vector<int32_t> seats;
    for (size_t s = 0; s < pieces.size(); ++s) {
        const Piece& piece = pieces[s];
        for (int64_t i = 0; i < piece.count; ++i) {
            positions.push_back(piece.first < 0 ? -1 : static_cast<int32_t>(piece.first + i));
            sequence_of_token.push_back(static_cast<int32_t>(s));
        }
        first_token.push_back(static_cast<int32_t>(positions.size()));
        for (int64_t p = 0; p < max_pages; ++p) {
            tables.push_back(static_cast<int32_t>(page_of(piece.sequence, p, max_pages)));
        }
        first_page.push_back(static_cast<int32_t>(tables.size()));
        seats.push_back(static_cast<int32_t>(piece.sequence));
    }
    view_.n_tokens = std::ssize(positions);
    view_.n_sequences = std::ssize(pieces);
    arrays_.push_back(upload(positions));
    arrays_.push_back(upload(sequence_of_token));
    arrays_.push_back(upload(first_token));
    arrays_.push_back(upload(tables));
    arrays_.push_back(upload(first_page));
    arrays_.push_back(upload(seats));
    view_.positions = arrays_[0].as<int32_t>();
    view_.sequence_of_token = arrays_[1].as<int32_t>();
    view_.first_token = arrays_[2].as<int32_t>();
    view_.pages = arrays_[3].as<int32_t>();
    view_.first_page = arrays_[4].as<int32_t>();
    view_.seats = arrays_[5].as<int32_t>();
}

std::vector<float> rounded(DType dtype, std::span<const float> values) {
    std::vector<std::byte> stored(values.size() * static_cast<size_t>(size_of(dtype)));
    narrow(dtype, values, stored.data());
    std::vector<float> result(values.size());
    widen(dtype, stored.data(), result);
    return result;
}

Memory upload_rows(DType dtype, std::span<const float> values, int64_t cols, int64_t padding) {
    const int64_t rows = std::ssize(values) / cols, stride = cols + padding;
    std::vector<std::byte> stored(static_cast<size_t>(rows * stride * size_of(dtype)),
                                  std::byte{0xFF});
    for (int64_t r = 0; r < rows; ++r) {
        narrow(dtype, values.subspan(static_cast<size_t>(r * cols), static_cast<size_t>(cols)),
               stored.data() + r * stride * size_of(dtype));
    }
    return upload(stored);
}

std::vector<float> download_rows(DType dtype, const Memory& memory, int64_t cols, int64_t padding) {
    const int64_t stride = cols + padding;
    const std::vector<std::byte> stored = download<std::byte>(memory);
    const int64_t rows = std::ssize(stored) / (stride * size_of(dtype));
    std::vector<float> result(static_cast<size_t>(rows * cols));
    for (int64_t r = 0; r < rows; ++r) {
        const std::byte* row = stored.data() + r * stride * size_of(dtype);
        const std::span<float> out(result.data() + r * cols, static_cast<size_t>(cols));
        widen(dtype, row, out);
        const std::span<const std::byte> after(row + cols * size_of(dtype),
                                               static_cast<size_t>(padding * size_of(dtype)));
        EXPECT_TRUE(std::ranges::all_of(after, [&](std::byte b) { return b == after[0]; }))
            << "row " << r << " was written beyond its end";
    }
    return result;
}

KvCase::KvCase(const KvForm& form, std::vector<int64_t> lengths, uint32_t seed)
    : form_(form),
      lengths_(std::move(lengths)),
      view_(make_kv_view(form.descriptor(), std::ssize(lengths_) * form.max_pages, form.values())),
      cache_(kv_bytes(view_)),
      basis_(form.n_kv_heads * form.head_dim * form.head_dim * 4),
      cos_(form.max_context() * (form.head_dim / 2) * 4),
      sin_(cos_.bytes()) {
    std::mt19937 random(seed);
    view_.memory = cache_.as<std::byte>();
    check(cudaMemset(cache_.data(), 0xFF, static_cast<size_t>(cache_.bytes())), "cudaMemset");
    for (const int64_t length : lengths_) {
        const auto make = [&](int64_t heads, float size) {
            return rounded(form.rows, normal_values(length * heads * form.head_dim, size, random));
        };
        q_.push_back(make(form.n_heads, 1.0f));
        k_.push_back(make(form.n_kv_heads, 1.0f));
        v_.push_back(make(form.n_kv_heads, form.value_size));
    }
    // Last, so that q, k and v do not depend on max_pages.
    make_bias(random);
    append_all();
    read_back();
}

// About as large as a key.
void KvCase::make_bias(std::mt19937& random) {
    const int64_t dim = form_.head_dim, half = dim / 2;
    const float size = std::sqrt(2.0f / static_cast<float>(dim));
    const std::vector<float> basis = normal_values(basis_.bytes() / 4, size, random);
    std::vector<float> cos, sin;
    for (int64_t p = 0; p < form_.max_context(); ++p) {
        for (int64_t i = 0; i < half; ++i) {
            const double angle = static_cast<double>(p) / static_cast<double>(1 + i);
            cos.push_back(static_cast<float>(std::cos(angle)));
            sin.push_back(static_cast<float>(std::sin(angle)));
        }
    }
    basis_.upload(basis.data());
    cos_.upload(cos.data());
    sin_.upload(sin.data());
    for (int64_t row = 0; row < form_.max_context() * form_.n_kv_heads; ++row) {
        const float* of_head = basis.data() + row % form_.n_kv_heads * dim * dim;
        const int64_t at = row / form_.n_kv_heads * half;
        for (int64_t d = 0; d < dim; ++d) {
            double sum = 0.0;
            for (int64_t i = 0; i < half; ++i) {
                sum += static_cast<double>(cos[static_cast<size_t>(at + i)]) * of_head[i * dim + d];
                sum += static_cast<double>(sin[static_cast<size_t>(at + i)]) *
                       of_head[(half + i) * dim + d];
            }
            bias_.push_back(sum);
        }
    }
}

void KvCase::append_all() {
    std::vector<Piece> pieces;
    for (int64_t s = 0; s < std::ssize(lengths_); ++s) {
        pieces.push_back({s, 0, lengths_[static_cast<size_t>(s)]});
    }
    const DeviceBatch batch(pieces, form_.max_pages);
    const int64_t cols = form_.n_kv_heads * form_.head_dim, n = batch.view().n_tokens;
    const Memory k = upload_rows(form_.rows, gather(pieces, k_, cols), cols, kPadding);
    const Memory v = upload_rows(form_.rows, gather(pieces, v_, cols), cols, kPadding);
    const Memory bad = upload(std::vector<int32_t>(static_cast<size_t>(n), 1 << 30));
    append({.k = rows_view(k, form_.rows, n, cols),
            .v = rows_view(v, form_.rows, n, cols),
            .head_dim = form_.head_dim,
            .kv = view_,
            .layer = 1,
            .batch = batch.view(),
            .site = 3,
            .bad_site = bad.as<int32_t>()},
           nullptr);
    synchronize();
    const std::vector<int32_t> sites = download<int32_t>(bad);
    EXPECT_TRUE(std::ranges::all_of(sites, [](int32_t site) { return site == 1 << 30; }));
    EXPECT_TRUE(cache_.guards_intact());
}

std::vector<std::byte> KvCase::cache_bytes() const {
    return download<std::byte>(cache_);
}

KvStore::Entry KvCase::entry(KvKind kind, int64_t sequence, int64_t position, int64_t head) const {
    const int64_t page =
        DeviceBatch::page_of(sequence, position / form_.page_tokens, form_.max_pages);
    const int64_t slot = position % form_.page_tokens;
    std::vector<std::byte> tile(static_cast<size_t>(view_.tile_bytes));
    check(cudaMemcpy(tile.data(), cache_.as<std::byte>() + view_.tile_at(1, page, head, slot),
                     tile.size(), cudaMemcpyDeviceToHost),
          "cudaMemcpy");
    return read_entry(view_, kind, tile, static_cast<int>(slot % view_.tile_tokens));
}

void KvCase::read_back() {
    const std::vector<std::byte> bytes = cache_bytes();
    for (int64_t s = 0; s < std::ssize(lengths_); ++s) {
        std::vector<float> k, v;
        for (int64_t p = 0; p < lengths_[static_cast<size_t>(s)]; ++p) {
            const int64_t page = DeviceBatch::page_of(s, p / form_.page_tokens, form_.max_pages);
            const int64_t slot = p % form_.page_tokens;
            for (int64_t head = 0; head < form_.n_kv_heads; ++head) {
                const std::span tile(bytes.data() + view_.tile_at(1, page, head, slot),
                                     static_cast<size_t>(view_.tile_bytes));
                const auto in_tile = static_cast<int>(slot % view_.tile_tokens);
                const auto key = read_entry(view_, KvKind::Key, tile, in_tile);
                const auto value = read_entry(view_, KvKind::Value, tile, in_tile);
                k.insert(k.end(), key.values.begin(), key.values.end());
                v.insert(v.end(), value.values.begin(), value.values.end());
            }
        }
        stored_k_.push_back(std::move(k));
        stored_v_.push_back(std::move(v));
    }
}

std::span<const float> KvCase::vector(KvKind kind, int64_t sequence, int64_t position,
                                      int64_t head) const {
    const auto& all = (kind == KvKind::Key ? k_ : v_)[static_cast<size_t>(sequence)];
    const int64_t at = (position * form_.n_kv_heads + head) * form_.head_dim;
    return std::span(all).subspan(static_cast<size_t>(at), static_cast<size_t>(form_.head_dim));
}

const float* KvCase::dequantized(KvKind kind, int64_t sequence, int64_t position,
                                 int64_t head) const {
    const auto& all = (kind == KvKind::Key ? stored_k_ : stored_v_)[static_cast<size_t>(sequence)];
    return all.data() + (position * form_.n_kv_heads + head) * form_.head_dim;
}

std::vector<float> KvCase::attend(const std::vector<Piece>& pieces, const AttentionOptions& options,
                                  AttentionPath expected_path) {
    const DeviceBatch batch(pieces, form_.max_pages);
    const int64_t n = batch.view().n_tokens, cols = out_cols();
    const Memory q = upload_rows(form_.rows, gather(pieces, q_, cols), cols, kPadding);
    const Memory out(n * (cols + kPadding) * size_of(form_.rows));
    AttentionCall call{
        .q = rows_view(q, form_.rows, n, cols),
        .n_heads = form_.n_heads,
        .kv = view_,
        .layer = 1,
        .scale = options.scale_factor / std::sqrt(static_cast<float>(form_.head_dim)),
        .score_cap = options.score_cap,
        .window = options.window,
        .batch = batch.view(),
        .max_context = form_.max_context(),
        .out = rows_view(out, form_.rows, n, cols)};
    if (form_.key_bias) {
        call.key_bias = {basis_.as<float>(), cos_.as<float>(), sin_.as<float>()};
    }
    const Memory workspace(attention_workspace_bytes(call));
    call.workspace = workspace.data();
    EXPECT_EQ(attention_path(call), expected_path);
    attention(call, nullptr);
    synchronize();
    EXPECT_TRUE(out.guards_intact() && workspace.guards_intact());
    return download_rows(form_.rows, out, cols, kPadding);
}

std::vector<double> KvCase::expected(int64_t sequence, int64_t position,
                                     const AttentionOptions& options) const {
    const int64_t dim = form_.head_dim, per_kv = form_.n_heads / form_.n_kv_heads;
    const double scale = options.scale_factor / std::sqrt(static_cast<double>(dim));
    const int64_t first =
        options.window > 0 ? std::max<int64_t>(0, position - options.window + 1) : 0;
    const float* q = q_[static_cast<size_t>(sequence)].data() + position * out_cols();
    std::vector<double> out(static_cast<size_t>(out_cols()), 0.0);
    for (int64_t head = 0; head < form_.n_heads; ++head) {
        const int64_t kv_head = head / per_kv;
        std::vector<double> weights;
        for (int64_t p = first; p <= position; ++p) {
            const float* k = dequantized(KvKind::Key, sequence, p, kv_head);
            const double* bias = bias_.data() + (p * form_.n_kv_heads + kv_head) * dim;
            double score = 0.0;
            for (int64_t i = 0; i < dim; ++i) {
                const double key = k[i] + (form_.key_bias ? bias[i] : 0.0);
                score += q[head * dim + i] * key;
            }
            score *= scale;
            if (options.score_cap > 0.0f) {
                score = options.score_cap * std::tanh(score / options.score_cap);
            }
            weights.push_back(score);
        }
        const double max = *std::ranges::max_element(weights);
        double sum = 0.0;
        for (double& weight : weights) sum += weight = std::exp(weight - max);
        double* row = out.data() + head * dim;
        for (int64_t p = first; p <= position; ++p) {
            const double weight = weights[static_cast<size_t>(p - first)] / sum;
            const float* v = dequantized(KvKind::Value, sequence, p, kv_head);
            for (int64_t i = 0; i < dim; ++i) row[i] += weight * v[i];
        }
    }
    return out;
}

}  // namespace quarot::cuda_test
