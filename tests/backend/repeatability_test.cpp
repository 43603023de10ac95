// Are results the same bits for any number of threads, and for a row whatever stands around it?
#include <fmt/format.h>

#include <algorithm>

#include "backend/cases.h"
#include "backend/test_batch.h"

namespace quarot::backend_test {
namespace {

using namespace kernels;

class Repeatability : public AnyBackend {};

// One product of each kind: integers, one side quantized, dense in every dtype.
struct Product {
    int w_bits, a_bits;
    DType dtype = DType::F32;
};
constexpr Product kProducts[] = {{4, 4},
                                 {8, 8},
                                 {4, 16},
                                 {16, 4, DType::BF16},
                                 {16, 16, DType::F32},
                                 {16, 16, DType::F16},
                                 {16, 16, DType::BF16}};
constexpr LinearShape kShapes[] = {{33, 576, 172}, {33, 90, 70}, {33, 172, 1031}};

Matrix multiply(Backend& backend, const Linear& linear, const Matrix& in, int a_bits) {
    Bench bench(backend);
    Operand operand{bench.upload(in)};
    if (a_bits != 16) operand.rows = bench.quantize(in, {.bits = a_bits, .clip = 0.9f});
    const Rows out = bench.blank(in.rows, linear.out_features());
    backend.linear({.in = operand, .weight = linear, .out = out});
    return bench.download(out);
}

std::unique_ptr<Linear> make_linear(Backend& backend, const Product& product, int64_t out,
                                    int64_t in) {
    Rng rng(11);
    LinearWeights weights;
    weights.matrix = random_dense(out, in, product.dtype, rng);
    if (product.w_bits != 16) {
        weights.matrix = random_quantized(out, in, product.w_bits, 0, true, rng);
    }
    return backend.prepare_linear(std::move(weights));
}

TEST_P(Repeatability, LinearForAnyThreadsAndAnyRowsAround) {
    const auto one = make(GetParam(), 1), two = make(GetParam(), 2), three = make(GetParam(), 3);
    for (const Product& product : kProducts) {
        for (const LinearShape& shape : kShapes) {
            SCOPED_TRACE(fmt::format("seed 12: {} -> {}, W {} A {} {}", shape.in, shape.out,
                                     product.w_bits, product.a_bits, name_of(product.dtype)));
            Rng rng(12);
            const Matrix in = normal_matrix(shape.rows, shape.in, rng);
            const auto linear = make_linear(*one, product, shape.out, shape.in);
            const Matrix whole = multiply(*one, *linear, in, product.a_bits);
            for (Backend* backend : {two.get(), three.get()}) {
                const auto other = make_linear(*backend, product, shape.out, shape.in);
                const Matrix actual = multiply(*backend, *other, in, product.a_bits);
                ASSERT_TRUE(same(whole.values, actual.values)) << "threads";
            }
            for (const int64_t count : {1, 2, 5, 16}) {
                for (int64_t first = 0; first + count <= shape.rows; first += 9) {
                    const Matrix part =
                        multiply(*one, *linear, in.slice(first, count), product.a_bits);
                    ASSERT_TRUE(same(whole.slice(first, count).values, part.values))
                        << count << " rows from " << first;
                }
            }
        }
    }
}

// A prompt of `n` tokens in chunks, beside another sequence when `with_neighbour`.
struct Prompt {
    int64_t n = 40;
    int64_t chunk = 40;
    bool with_neighbour = false;
};

constexpr int64_t kPromptPageTokens = 16, kPromptPages = 4;

// The outputs of sequence 0.
Matrix attend(Backend& backend, const AttentionShape& shape, int bits, const Prompt& prompt) {
    Rng rng(13);
    const int64_t dim = shape.head_dim;
    const Matrix q = normal_matrix(prompt.n, shape.n_heads * dim, rng);
    const Matrix k = normal_matrix(prompt.n, shape.n_kv_heads * dim, rng);
    const Matrix v = normal_matrix(prompt.n, shape.n_kv_heads * dim, rng);
    const auto store = backend.make_kv_store({.n_layers = 1,
                                              .n_kv_heads = shape.n_kv_heads,
                                              .head_dim = dim,
                                              .page_tokens = kPromptPageTokens,
                                              .k = {.bits = bits},
                                              .v = {.bits = bits, .range_includes_zero = false}},
                                             2 * kPromptPages);
    Matrix result(0, q.cols);
    for (int64_t start = 0; start < prompt.n; start += prompt.chunk) {
        const int64_t count = std::min(prompt.chunk, prompt.n - start);
        std::vector<Piece> runs{{start, count}};
        if (prompt.with_neighbour) runs.push_back({start, count});
        Bench bench(backend);
        const TestBatch batch(bench, runs, kPromptPageTokens, kPromptPages);
        const auto rows_of = [&](const Matrix& m) {
            Matrix part = m.slice(start, count);
            const std::vector<float> neighbour(part.values.rbegin(), part.values.rend());
            if (prompt.with_neighbour) {
                part.values.insert(part.values.end(), neighbour.begin(), neighbour.end());
                part.rows *= 2;
            }
            return bench.upload(part);
        };
        backend.append_kv({rows_of(k), rows_of(v), 0, batch.view(), *store, {}});
        const Rows out = bench.blank(batch.view().n_tokens, q.cols);
        backend.attention({rows_of(q), shape.n_heads, 0, 0.125f, batch.view(), *store, out});
        const Matrix all = bench.download(out).slice(0, count);
        result.values.insert(result.values.end(), all.values.begin(), all.values.end());
        result.rows += count;
    }
    return result;
}

TEST_P(Repeatability, AttentionOfAPromptWholeInChunksOrTokenByToken) {
    const auto one = make(GetParam(), 1), two = make(GetParam(), 2), three = make(GetParam(), 3);
    for (const AttentionShape& shape : kAttentionShapes) {
        for (const int bits : {4, 16}) {
            SCOPED_TRACE(fmt::format("seed 13: head_dim {} bits {}", shape.head_dim, bits));
            const Matrix whole = attend(*one, shape, bits, {});
            const auto expect = [&](Backend& backend, const Prompt& prompt) {
                ASSERT_TRUE(same(whole.values, attend(backend, shape, bits, prompt).values))
                    << "chunks of " << prompt.chunk << ", neighbour " << prompt.with_neighbour;
            };
            expect(*one, {.chunk = 7});
            expect(*one, {.chunk = 1});
            expect(*one, {.with_neighbour = true});
            expect(*one, {.chunk = 7, .with_neighbour = true});
            expect(*two, {});
            expect(*two, {.chunk = 7});
            expect(*three, {});
            expect(*three, {.chunk = 1});
            if (HasFailure()) return;
        }
    }
}

// Norm, SwiGLU and transform of `in`, and beside them the codes of the result.
Matrix through_rows(Backend& backend, const Matrix& in) {
    Bench bench(backend);
    const Rows rows = bench.upload(in), out = bench.blank(in.rows, in.cols);
    const auto mixer = backend.prepare_transform(linalg::make_mixer(in.cols), 1);
    backend.norm({.in = rows, .out = out});
    backend.activate({.gate = out, .up = rows, .out = out});
    backend.transform(*mixer, out);
    const QuantizedRows codes = bench.blank_codes(in.rows, in.cols, {.bits = 8});
    backend.quantize(out, codes, {});
    const Matrix values = bench.download(out);
    const std::vector<int8_t> integers = bench.download(codes).codes;
    Matrix result(in.rows, 2 * in.cols);
    for (int64_t r = 0; r < in.rows; ++r) {
        std::copy_n(values.row(r), in.cols, result.row(r));
        std::copy_n(integers.begin() + r * in.cols, in.cols, result.row(r) + in.cols);
    }
    return result;
}

TEST_P(Repeatability, RowOperationsForAnyThreadsAndAnyRowsAround) {
    const auto one = make(GetParam(), 1), two = make(GetParam(), 2), three = make(GetParam(), 3);
    for (const int64_t cols : {64, 90, 172, 768}) {
        SCOPED_TRACE(fmt::format("seed 14, {} columns", cols));
        Rng rng(14);
        const Matrix in = make_matrix(Temper::Outliers, 33, cols, rng);
        const Matrix whole = through_rows(*one, in);
        ASSERT_TRUE(same(whole.values, through_rows(*two, in).values));
        ASSERT_TRUE(same(whole.values, through_rows(*three, in).values));
        for (const int64_t row : {0, 1, 16, 32}) {
            ASSERT_TRUE(
                same(whole.slice(row, 1).values, through_rows(*one, in.slice(row, 1)).values));
        }
    }
}

INSTANTIATE_TEST_SUITE_P(All, Repeatability, testing::ValuesIn(all_backends()),
                         testing::PrintToStringParamName());

}  // namespace
}  // namespace quarot::backend_test
