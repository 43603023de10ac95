// Do looks at logits (log-probabilities, the largest, divergence) agree with their definitions in
// long double, and steps recorded and replayed with steps enqueued?
#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "backend/cases.h"
#include "backend/subject.h"

namespace quarot::backend_test {
namespace {

using namespace kernels;

class LogitsOfAnyBackend : public AnyBackend {
  protected:
    // Room for n results that no operation has written yet.
    template <typename T>
    T* room(Bench& bench, int64_t n) {
        return const_cast<T*>(bench.upload(std::vector<T>(static_cast<size_t>(n), T{-77})));
    }
    std::unique_ptr<Backend> backend_ = make(GetParam(), 2);
};

std::vector<long double> log_softmax(const float* logits, int64_t n) {
    const long double max = *std::max_element(logits, logits + n);
    long double sum = 0.0L;
    for (int64_t i = 0; i < n; ++i) sum += std::exp(logits[i] - max);
    std::vector<long double> result;
    for (int64_t i = 0; i < n; ++i) result.push_back(logits[i] - max - std::log(sum));
    return result;
}

// Logits as models give them: a few units wide, some far above the rest.
Matrix logits_of(int64_t rows, int64_t vocab, uint32_t seed) {
    Rng rng(seed);
    Matrix logits = normal_matrix(rows, vocab, rng);
    for (float& value : logits.values) value *= 4.0f;
    for (int64_t r = 1; r < rows; ++r) logits.row(r)[r * 7 % vocab] = 60.0f;
    return logits;
}

constexpr int64_t kVocabularies[] = {2, 17, 4096, 32001};

TEST_P(LogitsOfAnyBackend, LogProbabilitiesOfTargets) {
    for (const int64_t vocab : kVocabularies) {
        const Matrix logits = logits_of(4, vocab, 1);
        const std::vector<int32_t> targets = {0, static_cast<int32_t>(vocab - 1), -1, 1};
        Bench bench(*backend_);
        double* out = room<double>(bench, 4);
        backend_->log_probabilities({bench.upload(logits, 3), bench.upload(targets), out});
        const std::vector<double> found = bench.download(out, 4);
        for (int64_t r = 0; r < 4; ++r) {
            const auto row = static_cast<size_t>(r);
            const long double expected =
                targets[row] < 0
                    ? 0.0L
                    : log_softmax(logits.row(r), vocab)[static_cast<size_t>(targets[row])];
            // exp to 1e-12, log of the sum and two sums of numbers below 128.
            EXPECT_NEAR(found[row], static_cast<double>(expected), 3e-12) << vocab << " " << r;
        }
    }
}

TEST_P(LogitsOfAnyBackend, TopKPutsEqualLogitsInOrderOfTheirIds) {
    for (const int64_t vocab : kVocabularies) {
        for (const int64_t k : {int64_t{1}, int64_t{2}, std::min<int64_t>(vocab, 40)}) {
            Matrix logits = logits_of(3, vocab, 2);
            for (int64_t i = 0; i < vocab; ++i) logits.row(2)[i] = static_cast<float>(i % 3);
            Bench bench(*backend_);
            auto* values = room<float>(bench, 3 * k);
            auto* ids = room<int32_t>(bench, 3 * k);
            backend_->top_k({bench.upload(logits, 1), k, values, ids});
            const auto found_values = bench.download(values, 3 * k);
            const auto found_ids = bench.download(ids, 3 * k);
            for (int64_t r = 0; r < 3; ++r) {
                std::vector<int32_t> order(static_cast<size_t>(vocab));
                std::iota(order.begin(), order.end(), 0);
                std::sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
                    const float x = logits.row(r)[a], y = logits.row(r)[b];
                    return x > y || (x == y && a < b);
                });
                for (int64_t i = 0; i < k; ++i) {
                    const auto at = static_cast<size_t>(r * k + i);
                    ASSERT_EQ(found_ids[at], order[static_cast<size_t>(i)]) << vocab << " " << r;
                    ASSERT_EQ(found_values[at], logits.row(r)[found_ids[at]]);
                }
            }
        }
    }
}

TEST_P(LogitsOfAnyBackend, DivergenceIsOfTheModelFromTheBase) {
    for (const int64_t vocab : kVocabularies) {
        const Matrix base = logits_of(3, vocab, 3), model = logits_of(3, vocab, 4);
        Bench bench(*backend_);
        double* out = room<double>(bench, 3);
        backend_->divergence({bench.upload(base), bench.upload(model, 2), out});
        const std::vector<double> found = bench.download(out, 3);
        for (int64_t r = 0; r < 3; ++r) {
            const auto p = log_softmax(base.row(r), vocab), q = log_softmax(model.row(r), vocab);
            long double expected = 0.0L;
            for (size_t i = 0; i < p.size(); ++i) expected += std::exp(p[i]) * (p[i] - q[i]);
            EXPECT_NEAR(found[static_cast<size_t>(r)], static_cast<double>(expected),
                        1e-9 + 1e-11 * static_cast<double>(expected))
                << vocab << " " << r;
        }
    }
}

// A recording reads what its memory holds when it is replayed, not when it was made.
TEST_P(LogitsOfAnyBackend, RecordingsRunOnWhatTheirMemoryHolds) {
    Rng rng(5);
    const Matrix a = normal_matrix(3, 64, rng), b = normal_matrix(3, 64, rng);
    Bench bench(*backend_);
    const Rows to = bench.upload(Matrix(3, 64)), from = bench.upload(a);
    const auto recording = backend_->record([this, to, from] { backend_->add(to, from); });
    EXPECT_TRUE(same(Matrix(3, 64).values, bench.download(to).values)) << "ran while recorded";
    recording->replay();
    backend_->synchronize();
    backend_->upload(from.data, b.values.data(), 3 * 64 * 4);
    recording->replay();
    Matrix expected = a;
    for (size_t i = 0; i < a.values.size(); ++i) expected.values[i] += b.values[i];
    EXPECT_TRUE(same(expected.values, bench.download(to).values));
}

INSTANTIATE_TEST_SUITE_P(All, LogitsOfAnyBackend, testing::ValuesIn(all_backends()),
                         testing::PrintToStringParamName());

}  // namespace
}  // namespace quarot::backend_test
