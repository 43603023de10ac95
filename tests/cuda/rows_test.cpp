// Do the operations that move, combine or sum elements of rows on the GPU agree with the reference?
#include <fmt/format.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "backend/cases.h"
#include "cuda/device_rows.h"
#include "kernels/cuda/elementwise.h"
#include "kernels/cuda/gram.h"
#include "kernels/cuda/logits.h"

namespace quarot::cuda_test {
namespace {

using namespace kernels;
using backend_test::Bench;
using backend_test::make_matrix;
using backend_test::near;
using backend_test::normal_matrix;
using backend_test::Rng;
using backend_test::same;
using backend_test::Temper;

constexpr DType kDTypes[] = {DType::F32, DType::F16, DType::BF16};

class RowsOnGpu : public OnGpu {};

TEST_F(RowsOnGpu, Activate) {
    const auto reference = kernels::make_backend("reference", {});
    for (const Activation activation : backend_test::kActivations) {
        for (const DType dtype : kDTypes) {
            for (const int64_t cols : {1, 8, 90, 576, 5000}) {
                for (const float size : {1.0f, 8.0f, 200.0f}) {
                    Rng rng(static_cast<uint32_t>(cols));
                    Matrix gate = normal_matrix(5, cols, rng);
                    for (float& x : gate.values) x *= size;
                    gate = rounded(gate, dtype);
                    const Matrix up = rounded(normal_matrix(5, cols, rng), dtype);
                    const DeviceRows g(gate, dtype, 3), u(up, dtype), out(5, cols, DType::F32, 1);
                    const cuda::RowsView factor = u.view();
                    cuda::activate(activation, g.view(), &factor, out.view(), nullptr);
                    Bench bench(*reference);
                    const Rows result = bench.blank(5, cols);
                    reference->activate({.activation = activation,
                                         .gate = bench.upload(gate),
                                         .up = bench.upload(up),
                                         .out = result});
                    const Matrix expected = bench.download(result);
                    ASSERT_TRUE(near(expected.values, out.download().values, [&](size_t i) {
                        return backend_test::activation_limit(activation, expected.values[i],
                                                              gate.values[i], up.values[i]);
                    }));
                    EXPECT_TRUE(out.padding_intact());
                    cuda::activate(activation, g.view(), &factor, g.view(), nullptr);
                    EXPECT_TRUE(same(rounded(out.download(), dtype).values, g.download().values));
                }
            }
        }
    }
}

TEST_F(RowsOnGpu, AddIntoFp32) {
    for (const DType dtype : kDTypes) {
        for (const int64_t cols : {1, 90, 576}) {
            Rng rng(2);
            const Matrix in = rounded(normal_matrix(7, cols, rng), dtype);
            const Matrix before = normal_matrix(7, cols, rng);
            const std::vector<float> bias = backend_test::normal_vector(cols, rng);
            const Memory device_bias = upload(bias);
            const DeviceRows device(in, dtype), sum(before, DType::F32, 2);
            cuda::add_rows(device.view(), device_bias.as<float>(), sum.view(), nullptr);
            Matrix expected = before;
            for (size_t i = 0; i < in.values.size(); ++i) {
                expected.values[i] += in.values[i] + bias[i % static_cast<size_t>(cols)];
            }
            EXPECT_TRUE(same(expected.values, sum.download().values));
            EXPECT_TRUE(sum.padding_intact());
        }
    }
}

TEST_F(RowsOnGpu, EmbedWidensAndGatherCopies) {
    for (const DType dtype : kDTypes) {
        for (const int64_t cols : {1, 90, 576, 4096}) {
            Rng rng(3);
            const Matrix table = rounded(normal_matrix(6, cols, rng), dtype);
            const Memory ids = upload(std::vector<int32_t>{5, 0, 5, 2});
            const DeviceRows device(table, dtype), wide(4, cols, DType::F32, 1),
                copied(4, cols, dtype);
            cuda::embed(device.view(), ids.as<int32_t>(), wide.view(), nullptr);
            cuda::gather_rows(device.view(), ids.as<int32_t>(), copied.view(), nullptr);
            const Matrix from_wide = wide.download(), from_copied = copied.download();
            for (const auto& [to, from] : {std::pair{0, 5}, {1, 0}, {2, 5}, {3, 2}}) {
                EXPECT_TRUE(same(table.slice(from, 1).values, from_wide.slice(to, 1).values));
                EXPECT_TRUE(same(table.slice(from, 1).values, from_copied.slice(to, 1).values));
            }
            EXPECT_TRUE(wide.padding_intact());
        }
    }
}

TEST_F(RowsOnGpu, GatherColumnsCopiesTheColumnsAskedFor) {
    for (const int64_t count : {1, 8, 90, 172}) {
        Rng rng(4);
        const Matrix in = make_matrix(Temper::NanInside, 9, 90, rng);
        std::vector<int32_t> columns;
        for (int64_t j = 0; j < count; ++j) columns.push_back(static_cast<int32_t>(j * 37 % 90));
        const Memory indices = upload(columns);
        const DeviceRows device(in, DType::F32, 2), out(9, count, DType::F32, 5);
        cuda::gather_columns(device.view(), indices.as<int32_t>(), out.view(), nullptr);
        Matrix expected(9, count);
        for (int64_t r = 0; r < 9; ++r) {
            for (int64_t j = 0; j < count; ++j) {
                expected.row(r)[j] = in.row(r)[columns[static_cast<size_t>(j)]];
            }
        }
        EXPECT_TRUE(same(expected.values, out.download().values));
    }
}

TEST_F(RowsOnGpu, NotesRowsThatAreNotFinite) {
    Matrix in(4, 77);
    in.row(1)[76] = std::numeric_limits<float>::infinity();
    in.row(3)[0] = std::numeric_limits<float>::quiet_NaN();
    const Memory sites = upload(std::vector<int32_t>{9, 9, 9, 2});
    cuda::note_non_finite(DeviceRows(in, DType::F32).view(), 5, sites.as<int32_t>(), nullptr);
    synchronize();
    EXPECT_EQ(download<int32_t>(sites), (std::vector<int32_t>{9, 5, 9, 2}));
}

using Gram = std::vector<double>;

Gram gram_of(const std::vector<Matrix>& calls, int64_t padding = 0) {
    const int64_t n = calls[0].cols;
    const Memory memory = upload(Gram(static_cast<size_t>(n * n), 0.0));
    for (const Matrix& in : calls) {
        cuda::accumulate_gram(DeviceRows(in, DType::F32, padding).view(), memory.as<double>(),
                              nullptr);
        synchronize();
    }
    EXPECT_TRUE(memory.guards_intact());
    return download<double>(memory);
}

bool same_bits(const Gram& a, const Gram& b) {
    return std::memcmp(a.data(), b.data(), a.size() * sizeof(double)) == 0;
}

TEST_F(RowsOnGpu, GramIsSymmetricAndNearTheDoubleSums) {
    for (const int64_t cols : {1, 8, 90, 172, 576}) {
        for (const int64_t rows : {1, 3, 256, 257, 700}) {
            SCOPED_TRACE(fmt::format("{} x {}", rows, cols));
            Rng rng(static_cast<uint32_t>(rows));
            const Matrix in = make_matrix(Temper::Outliers, rows, cols, rng);
            const Gram actual = gram_of({in}, rows == 3 ? 5 : 0);
            const double chain = std::min<double>(static_cast<double>(rows), 256.0);
            for (int64_t i = 0; i < cols; ++i) {
                for (int64_t j = 0; j < cols; ++j) {
                    double sum = 0.0, norm = 0.0;
                    for (int64_t r = 0; r < rows; ++r) {
                        const double product = static_cast<double>(in.row(r)[i]) * in.row(r)[j];
                        sum += product;
                        norm += std::fabs(product);
                    }
                    const double got = actual[static_cast<size_t>(i * cols + j)];
                    ASSERT_NEAR(got, sum,
                                (8.0 + std::sqrt(chain)) * backend_test::kEps * norm + 1e-45);
                    ASSERT_EQ(got, actual[static_cast<size_t>(j * cols + i)]);
                }
            }
        }
    }
}

TEST_F(RowsOnGpu, GramOfWholeRunsInAnyNumberOfCalls) {
    Rng rng(5);
    const Matrix all = normal_matrix(600, 90, rng);
    EXPECT_TRUE(same_bits(gram_of({all}), gram_of({all.slice(0, 512), all.slice(512, 88)})));
    Matrix ones(4352, 8);
    for (float& value : ones.values) value = 1.0f + 0x1p-12f;
    const double product = std::pow(1.0 + 0x1p-12, 2.0) * 4352.0;
    for (const double sum : gram_of({ones})) {
        EXPECT_NEAR(sum, product, backend_test::dot_limit(256, product));
    }
}

double log_sum_exp(const float* x, int64_t n) {
    double largest = -std::numeric_limits<double>::infinity(), sum = 0.0;
    for (int64_t i = 0; i < n; ++i) largest = std::max<double>(largest, x[i]);
    for (int64_t i = 0; i < n; ++i) sum += std::exp(x[i] - largest);
    return largest + std::log(sum);
}

TEST_F(RowsOnGpu, LogProbabilitiesAndDivergence) {
    for (const int64_t cols : {1, 33, 4096, 50257}) {
        Rng rng(static_cast<uint32_t>(cols));
        Matrix p = normal_matrix(4, cols, rng), q = normal_matrix(4, cols, rng);
        for (float& x : p.values) x *= 10.0f;
        const std::vector<int32_t> targets{0, static_cast<int32_t>(cols - 1), -1,
                                           static_cast<int32_t>(cols / 2)};
        const Memory ids = upload(targets), out(4 * 8), kl(4 * 8);
        const DeviceRows base(p, DType::F32, 3), model(q, DType::F32);
        cuda::log_probabilities(base.view(), ids.as<int32_t>(), out.as<double>(), nullptr);
        cuda::divergence(base.view(), model.view(), kl.as<double>(), nullptr);
        synchronize();
        for (int64_t r = 0; r < 4; ++r) {
            const double p_sum = log_sum_exp(p.row(r), cols), q_sum = log_sum_exp(q.row(r), cols);
            const int32_t target = targets[static_cast<size_t>(r)];
            EXPECT_NEAR(download<double>(out)[static_cast<size_t>(r)],
                        target < 0 ? 0.0 : p.row(r)[target] - p_sum, 1e-12);
            double expected = 0.0;
            for (int64_t i = 0; i < cols; ++i) {
                const double log_p = p.row(r)[i] - p_sum, log_q = q.row(r)[i] - q_sum;
                expected += std::exp(log_p) * (log_p - log_q);
            }
            EXPECT_NEAR(download<double>(kl)[static_cast<size_t>(r)], expected, 1e-11);
        }
    }
}

// Few different values, so that most places are decided by the id; a NaN comes last.
TEST_F(RowsOnGpu, TopLogitsWithTiesToTheLowestId) {
    for (const int64_t cols : {1, 40, 4096, 50257}) {
        for (const int64_t k : {1, 2, 40, 256}) {
            if (k > cols) continue;
            SCOPED_TRACE(fmt::format("{} of {}", k, cols));
            Rng rng(static_cast<uint32_t>(cols));
            Matrix in = normal_matrix(3, cols, rng);
            for (float& x : in.values) x = std::round(2.0f * x);
            if (cols > 1) in.row(1)[0] = std::numeric_limits<float>::quiet_NaN();
            if (cols > 1) in.row(2)[1] = -0.0f;
            const DeviceRows logits(in, DType::F32, 1);
            const Memory ids(3 * k * 4), values(3 * k * 4);
            cuda::top_logits({logits.view(), k, ids.as<int32_t>(), values.as<float>()}, nullptr);
            const auto backend = backend_test::make_reference();
            Bench bench(*backend);
            const auto* expected_ids =
                bench.upload(std::vector<int32_t>(static_cast<size_t>(3 * k)));
            const auto* expected = bench.upload(std::vector<float>(static_cast<size_t>(3 * k)));
            backend->top_k({bench.upload(in), k, const_cast<float*>(expected),
                            const_cast<int32_t*>(expected_ids)});
            synchronize();
            EXPECT_EQ(download<int32_t>(ids), bench.download(expected_ids, 3 * k));
            EXPECT_TRUE(same(bench.download(expected, 3 * k), download<float>(values)));
            EXPECT_TRUE(ids.guards_intact() && values.guards_intact());
        }
    }
}

}  // namespace
}  // namespace quarot::cuda_test
