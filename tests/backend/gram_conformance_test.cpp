// Do the sums of outer products, from which Hessians are made, agree with the reference, stay
// symmetric, and repeat bit for bit?
#include <fmt/format.h>

#include <cstring>

#include "backend/cases.h"
#include "backend/subject.h"

namespace quarot::backend_test {
namespace {

using namespace kernels;

constexpr int64_t kColumns[] = {1, 8, 90, 172, 576};
constexpr int64_t kRows[] = {1, 3, 255, 256, 257, 700};
constexpr int64_t kRun = 256;

using Gram = std::vector<double>;

// The sum over `calls`, one call of the operation each.
Gram gram_of(Backend& backend, const std::vector<Matrix>& calls, int64_t padding = 0) {
    Bench bench(backend);
    const int64_t n = calls[0].cols;
    Gram gram(static_cast<size_t>(n * n), 0.0);
    const Buffer memory = backend.allocate(n * n * 8);
    backend.upload(memory.data(), gram.data(), memory.bytes());
    for (const Matrix& in : calls) {
        backend.accumulate_gram(bench.upload(in, padding), static_cast<double*>(memory.data()));
    }
    backend.synchronize();
    backend.download(gram.data(), memory.data(), memory.bytes());
    return gram;
}

// The same of a^T b; both sides have as many calls.
Gram cross_gram_of(Backend& backend, const std::vector<Matrix>& a, const std::vector<Matrix>& b,
                   int64_t padding = 0) {
    Bench bench(backend);
    Gram gram(static_cast<size_t>(a[0].cols * b[0].cols), 0.0);
    const Buffer memory = backend.allocate(std::ssize(gram) * 8);
    backend.upload(memory.data(), gram.data(), memory.bytes());
    for (size_t i = 0; i < a.size(); ++i) {
        backend.accumulate_cross_gram(bench.upload(a[i], padding), bench.upload(b[i]),
                                      static_cast<double*>(memory.data()));
    }
    backend.synchronize();
    backend.download(gram.data(), memory.data(), memory.bytes());
    return gram;
}

std::vector<Matrix> magnitudes(std::vector<Matrix> calls) {
    for (Matrix& matrix : calls) {
        for (float& value : matrix.values) value = std::fabs(value);
    }
    return calls;
}

// The sum of |x_i x_j| over the rows of all calls.
Gram norms_of(const std::vector<Matrix>& calls) {
    return gram_of(*make_reference(), magnitudes(calls));
}

// A chain of at most 256 fp32 additions, and what may vanish below the smallest number; fp64
// additions do not count beside them.
double gram_limit(int64_t rows, double norm) {
    return dot_limit(std::min(rows, kRun), norm) +
           static_cast<double>(rows) * std::numeric_limits<float>::denorm_min();
}

testing::AssertionResult gram_near(const Gram& expected, const Gram& actual, const Gram& norms,
                                   int64_t rows) {
    for (size_t i = 0; i < expected.size(); ++i) {
        const double error = std::fabs(expected[i] - actual[i]);
        if (error <= gram_limit(rows, norms[i])) continue;
        return testing::AssertionFailure()
               << fmt::format("element {}: {} expected {}, limit {}", i, actual[i], expected[i],
                              gram_limit(rows, norms[i]));
    }
    return testing::AssertionSuccess();
}

testing::AssertionResult same_bits(const Gram& expected, const Gram& actual) {
    for (size_t i = 0; i < expected.size(); ++i) {
        if (std::memcmp(&expected[i], &actual[i], sizeof(double)) == 0) continue;
        return testing::AssertionFailure()
               << fmt::format("element {}: {} expected {}", i, actual[i], expected[i]);
    }
    return testing::AssertionSuccess();
}

Gram transposed(const Gram& gram, int64_t n) {
    Gram out(gram.size());
    for (int64_t i = 0; i < n; ++i) {
        for (int64_t j = 0; j < n; ++j) {
            out[static_cast<size_t>(i * n + j)] = gram[static_cast<size_t>(j * n + i)];
        }
    }
    return out;
}

class GramConformance : public FastBackend {};
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(GramConformance);

TEST_P(GramConformance, SumOfOneCall) {
    for (const int64_t cols : kColumns) {
        for (const int64_t rows : kRows) {
            for (const Temper temper : {Temper::Normal, Temper::Outliers, Temper::Zeros}) {
                if (temper != Temper::Outliers && cols == 576) continue;
                SCOPED_TRACE(fmt::format("seed {} rows {} cols {}", rows, rows, cols));
                Rng rng(static_cast<uint32_t>(rows));
                const std::vector<Matrix> in{make_matrix(temper, rows, cols, rng)};
                const Gram actual = gram_of(*subject_, in, rows == 3 ? 5 : 0);
                ASSERT_TRUE(gram_near(gram_of(*reference_, in), actual, norms_of(in), rows));
                ASSERT_TRUE(same_bits(actual, transposed(actual, cols)));
            }
        }
    }
}

TEST_P(GramConformance, SecondCallAddsToTheFirst) {
    for (const int64_t cols : kColumns) {
        SCOPED_TRACE(fmt::format("seed 3, {} columns", cols));
        Rng rng(3);
        const std::vector<Matrix> in{normal_matrix(257, cols, rng), normal_matrix(33, cols, rng)};
        const Gram actual = gram_of(*subject_, in);
        ASSERT_TRUE(gram_near(gram_of(*reference_, in), actual, norms_of(in), kRun));
        ASSERT_TRUE(same_bits(actual, transposed(actual, cols)));
    }
}

// In one fp32 chain of 4352 such products the error would grow with its length; here it is that of
// one run of 256 whatever the number of rows.
TEST_P(GramConformance, RunsAreAddedInDoublePrecision) {
    Matrix in(4352, 8);
    for (float& value : in.values) value = 1.0f + 0x1p-12f;
    const double product = std::pow(1.0 + 0x1p-12, 2.0) * 4352.0;
    for (const double sum : gram_of(*subject_, {in})) {
        EXPECT_NEAR(sum, product, dot_limit(kRun, product));
    }
}

TEST_P(GramConformance, SumOfProductsOfTwoMatrices) {
    if (!subject_->traits().cross_grams) GTEST_SKIP() << "has no such operation";
    for (const auto& [a_cols, b_cols] :
         {std::pair<int64_t, int64_t>{1, 1}, {1, 172}, {172, 8}, {90, 90}, {130, 300}}) {
        for (const int64_t rows : {1, 256, 700}) {
            SCOPED_TRACE(fmt::format("seed 7, {} rows, {} by {}", rows, a_cols, b_cols));
            Rng rng(7);
            const std::vector<Matrix> a{make_matrix(Temper::Outliers, rows, a_cols, rng),
                                        normal_matrix(33, a_cols, rng)};
            const std::vector<Matrix> b{normal_matrix(rows, b_cols, rng),
                                        make_matrix(Temper::Outliers, 33, b_cols, rng)};
            const Gram norms = cross_gram_of(*make_reference(), magnitudes(a), magnitudes(b));
            ASSERT_TRUE(gram_near(cross_gram_of(*reference_, a, b),
                                  cross_gram_of(*subject_, a, b, 5), norms, kRun));
        }
    }
}

class GramRepeatability : public AnyBackend {};

TEST_P(GramRepeatability, SameBitsForAnyNumberOfThreads) {
    const auto one = make(GetParam(), 1), two = make(GetParam(), 2), three = make(GetParam(), 3);
    for (const int64_t cols : kColumns) {
        SCOPED_TRACE(fmt::format("seed 4, {} columns", cols));
        Rng rng(4);
        const std::vector<Matrix> in{normal_matrix(300, cols, rng)};
        const Gram expected = gram_of(*one, in);
        ASSERT_TRUE(same_bits(expected, gram_of(*two, in)));
        ASSERT_TRUE(same_bits(expected, gram_of(*three, in)));
    }
}

TEST_P(GramRepeatability, ProductsOfTwoMatricesAreTheSameBitsForAnyNumberOfThreads) {
    if (!make(GetParam())->traits().cross_grams) GTEST_SKIP() << "has no such operation";
    Rng rng(8);
    const std::vector<Matrix> a{normal_matrix(600, 300, rng)}, b{normal_matrix(600, 172, rng)};
    const Gram expected = cross_gram_of(*make(GetParam(), 1), a, b);
    ASSERT_TRUE(same_bits(expected, cross_gram_of(*make(GetParam(), 3), a, b)));
    const auto cut = [](const std::vector<Matrix>& all) {
        return std::vector<Matrix>{all[0].slice(0, 512), all[0].slice(512, 88)};
    };
    ASSERT_TRUE(same_bits(expected, cross_gram_of(*make(GetParam(), 2), cut(a), cut(b))))
        << "calls of whole runs are one call";
}

// Of a matrix with itself it is what the other operation sums.
TEST_P(GramRepeatability, ProductsOfAMatrixWithItselfAreItsGram) {
    const auto backend = make(GetParam());
    if (!backend->traits().cross_grams) GTEST_SKIP() << "has no such operation";
    Rng rng(9);
    const std::vector<Matrix> in{normal_matrix(300, 172, rng)};
    ASSERT_TRUE(same_bits(gram_of(*backend, in), cross_gram_of(*backend, in, in)));
}

// What a call adds is a sum over its own rows in runs of 256: calls of whole runs are one call.
TEST_P(GramRepeatability, SameBitsInOneCallOrInCallsOfWholeRuns) {
    const auto backend = make(GetParam());
    Rng rng(5);
    const Matrix all = normal_matrix(600, 90, rng);
    ASSERT_TRUE(same_bits(gram_of(*backend, {all}),
                          gram_of(*backend, {all.slice(0, 512), all.slice(512, 88)})));
}

TEST(GramTiers, GiveTheSameBits) {
    Rng rng(6);
    const std::vector<Matrix> in{make_matrix(Temper::Outliers, 300, 172, rng)};
    const std::vector<Subject> tiers = fast_backends();
    for (const Subject& tier : tiers) {
        EXPECT_TRUE(same_bits(gram_of(*make(tiers[0]), in), gram_of(*make(tier), in))) << tier;
    }
}

// x = (1, 2), (3, -4): x^T x = [[10, -10], [-10, 20]].
TEST(ReferenceGram, IsTheOneByHand) {
    Matrix in(2, 2);
    in.values = {1.0f, 2.0f, 3.0f, -4.0f};
    EXPECT_EQ(gram_of(*make_reference(), {in}), (Gram{10.0, -10.0, -10.0, 20.0}));
}

// (1, 3)^T [1 2; 3 -4] = [10, -10].
TEST(ReferenceGram, OfTwoMatricesIsTheOneByHand) {
    Matrix a(2, 1), b(2, 2);
    a.values = {1.0f, 3.0f};
    b.values = {1.0f, 2.0f, 3.0f, -4.0f};
    EXPECT_EQ(cross_gram_of(*make_reference(), {a}, {b}), (Gram{10.0, -10.0}));
}

// 16777215^2 + 1 needs 48 bits.
TEST(ReferenceGram, ProductsAndSumsAreDouble) {
    Matrix in(2, 1);
    in.values = {16777215.0f, 1.0f};
    EXPECT_EQ(gram_of(*make_reference(), {in}), Gram{16777215.0 * 16777215.0 + 1.0});
}

INSTANTIATE_TEST_SUITE_P(Fast, GramConformance, testing::ValuesIn(fast_backends()),
                         testing::PrintToStringParamName());
INSTANTIATE_TEST_SUITE_P(All, GramRepeatability, testing::ValuesIn(all_backends()),
                         testing::PrintToStringParamName());

}  // namespace
}  // namespace quarot::backend_test
