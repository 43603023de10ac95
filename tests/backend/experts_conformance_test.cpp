// Mixtures of experts: is routing what its definition says, and do grouped rows give the bits that
// one expert at a time gives, whatever else is in the batch?
#include <algorithm>
#include <cmath>
#include <numeric>

#include "backend/subject.h"

namespace quarot::backend_test {
namespace {

using namespace kernels;

constexpr int64_t kExperts = 6, kTopK = 2, kInputs = 192, kOutputs = 50;

// A routing in backend memory, filled.
struct Routed {
    Routed(Bench& bench, const Matrix& logits, int64_t top_k, bool renormalize, SiteNote note = {})
        : memory(bench.backend.allocate(routing_bytes(logits.rows, top_k, logits.cols))),
          routing(place_routing(memory.data(), logits.rows, top_k, logits.cols)) {
        bench.backend.route({.logits = bench.upload(logits, 3),
                             .renormalize = renormalize,
                             .routing = routing,
                             .note = note});
        experts = bench.download(routing.experts, routing.n_rows());
        weights = bench.download(routing.weights, routing.n_rows());
        row_of = bench.download(routing.row_of, routing.n_rows());
        token_of = bench.download(routing.token_of, routing.n_rows());
        first_row = bench.download(routing.first_row, routing.n_experts + 1);
    }
    Buffer memory;
    Routing routing;
    std::vector<int32_t> experts, row_of, token_of, first_row;
    std::vector<float> weights;
};

// The experts of a token by sorting all of them, in ascending order.
std::vector<int32_t> best_experts(const float* logits, int64_t n, int64_t top_k) {
    std::vector<int32_t> order(static_cast<size_t>(n));
    std::iota(order.begin(), order.end(), 0);
    std::sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
        return logits[a] != logits[b] ? logits[a] > logits[b] : a < b;
    });
    order.resize(static_cast<size_t>(top_k));
    std::sort(order.begin(), order.end());
    return order;
}

class ExpertsOfAnyBackend : public AnyBackend {
  protected:
    // The subject, unless it has no mixtures and says so.
    std::unique_ptr<Backend> subject(int n_threads = 2) {
        auto backend = make(GetParam(), n_threads);
        return backend->traits().mixtures ? std::move(backend) : nullptr;
    }
};
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(ExpertsOfAnyBackend);

TEST_P(ExpertsOfAnyBackend, AreRefusedByNameWhereThereAreNone) {
    const auto backend = make(GetParam());
    if (backend->traits().mixtures) return;
    try {
        backend->route({});
        FAIL() << "not refused";
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::Unsupported);
        EXPECT_NE(std::string(error.what()).find(backend->info().name), std::string::npos);
    }
}

TEST_P(ExpertsOfAnyBackend, TokensGoToTheirLargestLogits) {
    const auto backend = subject();
    if (!backend) GTEST_SKIP() << "no mixtures";
    for (const int64_t top_k : {1, 2, 5}) {
        for (const bool renormalize : {true, false}) {
            Rng rng(7);
            Bench bench(*backend);
            Matrix logits = normal_matrix(33, kExperts, rng);
            std::fill_n(logits.row(4), kExperts, 0.5f);  // all equal: the lowest experts
            logits.row(5)[1] = logits.row(5)[4] = 9.0f;
            const Routed routed(bench, logits, top_k, renormalize);
            for (int64_t t = 0; t < logits.rows; ++t) {
                const float* l = logits.row(t);
                const auto best = best_experts(l, kExperts, top_k);
                const auto first = static_cast<size_t>(t * top_k);
                double all = 0.0, chosen = 0.0;
                for (int64_t e = 0; e < kExperts; ++e) all += std::exp(double{l[e]});
                for (const int32_t e : best) chosen += std::exp(double{l[e]});
                for (size_t j = 0; j < best.size(); ++j) {
                    ASSERT_EQ(routed.experts[first + j], best[j]) << "token " << t;
                    const double p = std::exp(double{l[best[j]]}) / (renormalize ? chosen : all);
                    ASSERT_NEAR(routed.weights[first + j], p, 4 * kEps * p);
                }
            }
        }
    }
}

TEST_P(ExpertsOfAnyBackend, RowsStandInOrderOfExpertsThenTokens) {
    const auto backend = subject();
    if (!backend) GTEST_SKIP() << "no mixtures";
    Rng rng(8);
    Bench bench(*backend);
    Matrix logits = normal_matrix(40, kExperts, rng);
    for (int64_t t = 0; t < logits.rows; ++t) logits.row(t)[3] = -50.0f;  // nobody's expert
    const Routed routed(bench, logits, kTopK, true);
    std::vector<std::pair<int32_t, int32_t>> rows;  // expert, token
    for (int32_t t = 0; t < logits.rows; ++t) {
        for (int64_t j = 0; j < kTopK; ++j) {
            rows.emplace_back(routed.experts[static_cast<size_t>(t * kTopK + j)], t);
        }
    }
    const auto in_order = rows;
    std::sort(rows.begin(), rows.end());
    for (size_t r = 0; r < rows.size(); ++r) EXPECT_EQ(routed.token_of[r], rows[r].second) << r;
    for (size_t i = 0; i < rows.size(); ++i) {
        EXPECT_EQ(rows[static_cast<size_t>(routed.row_of[i])], in_order[i]) << i;
    }
    for (int32_t e = 0; e <= kExperts; ++e) {
        const auto before =
            std::count_if(rows.begin(), rows.end(), [e](const auto& row) { return row.first < e; });
        EXPECT_EQ(routed.first_row[static_cast<size_t>(e)], before) << e;
    }
}

TEST_P(ExpertsOfAnyBackend, RowsOfNanAndInfAreNotedAndStayInRange) {
    const auto backend = subject();
    if (!backend) GTEST_SKIP() << "no mixtures";
    Rng rng(9);
    Bench bench(*backend);
    Matrix logits = normal_matrix(4, kExperts, rng);
    std::fill_n(logits.row(1), kExperts, std::nanf(""));
    logits.row(2)[5] = std::numeric_limits<float>::infinity();
    const SiteNote note = bench.note(17, 4);
    const Routed routed(bench, logits, kTopK, true, note);
    EXPECT_EQ(bench.sites(note, 4), (std::vector<Site>{kNoSite, 17, 17, kNoSite}));
    for (size_t t = 0; t < 4; ++t) {
        EXPECT_GE(routed.experts[kTopK * t], 0);
        EXPECT_LT(routed.experts[kTopK * t], routed.experts[kTopK * t + 1]);
        EXPECT_LT(routed.experts[kTopK * t + 1], kExperts);
    }
}

// What notes of grouped rows say belongs to their tokens.
TEST_P(ExpertsOfAnyBackend, NotesOfRowsBelongToTokens) {
    const auto backend = subject();
    if (!backend) GTEST_SKIP() << "no mixtures";
    Bench bench(*backend);
    Matrix rows(6, kInputs);
    rows.row(1)[3] = std::nanf("");
    rows.row(4)[0] = std::nanf("");
    SiteNote note = bench.note(5, 3);
    note.token_of = bench.upload(std::vector<int32_t>{0, 2, 1, 0, 2, 1});
    backend->quantize(bench.upload(rows), bench.blank_codes(6, kInputs, {.bits = 4}), note);
    EXPECT_EQ(bench.sites(note, 3), (std::vector<Site>{kNoSite, kNoSite, 5}));
}

TEST_P(ExpertsOfAnyBackend, CombinesInOrderOfExperts) {
    const auto backend = subject();
    if (!backend) GTEST_SKIP() << "no mixtures";
    Rng rng(10);
    Bench bench(*backend);
    const Matrix logits = normal_matrix(19, kExperts, rng);
    const Routed routed(bench, logits, 3, true);
    const Matrix rows = normal_matrix(19 * 3, kOutputs, rng);
    const Rows out = bench.blank(19, kOutputs, 2);
    backend->combine_experts(
        {.rows = bench.upload(rows, 5), .routing = routed.routing, .out = out});
    Matrix expected(19, kOutputs);
    for (int64_t t = 0; t < 19; ++t) {
        for (int64_t c = 0; c < kOutputs; ++c) {
            float sum = 0.0f;
            for (int64_t j = 0; j < 3; ++j) {
                const auto at = static_cast<size_t>(t * 3 + j);
                const float product = routed.weights[at] * rows.row(routed.row_of[at])[c];
                sum = j == 0 ? product : sum + product;
            }
            expected.row(t)[c] = sum;
        }
    }
    EXPECT_TRUE(same(expected.values, bench.download(out).values));
}

// One pair of widths of a mixture's products.
struct Widths {
    int weights, activations;
    int64_t group = 0;
    bool symmetric = true;
    ZeroPoint zero = ZeroPoint::Integer;
    int64_t first_positions = 0;

    ActivationFormat format() const {
        return {.bits = activations,
                .group_size = group,
                .symmetric = symmetric,
                .zero = zero,
                .first_positions = first_positions};
    }
    // Where first positions have codes of their own width, all codes as large as they get.
    Matrix tokens(int64_t n, Rng& rng) const {
        if (first_positions == 0) return normal_matrix(n, kInputs, rng);
        Matrix equal(n, kInputs);
        std::fill(equal.values.begin(), equal.values.end(), 1.0f);
        return equal;
    }
};
constexpr Widths kWidthPairs[] = {{16, 16},
                                  {4, 16},
                                  {8, 16},
                                  {16, 4},
                                  {4, 4},
                                  {4, 8},
                                  {8, 8},
                                  {8, 4},
                                  {4, 4, 32},
                                  {4, 8, 0, false},
                                  {4, 4, 32, false},
                                  {4, 4, 32, false, ZeroPoint::Real},
                                  {4, 4, 0, true, ZeroPoint::Integer, 2},
                                  {4, 4, kInputs / 2, true, ZeroPoint::Integer, 2}};

// Experts of a mixture, and what its products make of tokens.
class Experts {
  public:
    Experts(Backend& backend, const Widths& widths, int64_t n_roles)
        : bench_(backend), widths_(widths) {
        Rng rng(11);
        for (int64_t role = 0; role < n_roles; ++role) {
            auto& linears = linears_.emplace_back();
            for (int64_t e = 0; e < kExperts; ++e) {
                LinearWeights w;
                if (widths.weights == 16) {
                    w.matrix = random_dense(kOutputs, kInputs, DType::BF16, rng);
                } else {
                    w.matrix = random_quantized(kOutputs, kInputs, widths.weights, widths.group,
                                                widths.symmetric, rng);
                }
                w.activation_group = widths.group;
                linears.push_back(backend.prepare_linear(std::move(w)));
            }
        }
    }

    Operand operand(const Matrix& tokens) {
        if (widths_.activations == 16) return {bench_.upload(tokens)};
        return {bench_.quantize(tokens, widths_.format())};
    }
    // Grouped rows [n_rows, kInputs] of what tokens read.
    Operand gathered(const Operand& tokens, const Routing& routing) {
        if (const auto* rows = std::get_if<Rows>(&tokens.rows)) {
            const Rows out = bench_.blank(routing.n_rows(), kInputs);
            bench_.backend.gather_rows(*rows, routing.token_of, out);
            return {out};
        }
        QuantizedRows out = bench_.blank_codes(routing.n_rows(), kInputs, widths_.format());
        out.positions = std::get<QuantizedRows>(tokens.rows).positions;
        out.token_of = routing.token_of;
        bench_.backend.gather_codes(std::get<QuantizedRows>(tokens.rows), routing.token_of, out);
        return {out};
    }
    // One matrix a role, [n_rows, kOutputs].
    std::vector<Matrix> grouped(const Operand& in, const Routing& routing) {
        std::vector<ExpertLinears> weights(linears_.begin(), linears_.end());
        std::vector<Rows> outs;
        for (size_t i = 0; i < weights.size(); ++i) {
            outs.push_back(bench_.blank(routing.n_rows(), kOutputs));
        }
        bench_.backend.expert_group(
            {.in = in, .routing = routing, .weights = weights, .outs = outs});
        std::vector<Matrix> results;
        for (const Rows& out : outs) results.push_back(bench_.download(out));
        return results;
    }
    // All tokens times one expert of a role.
    Matrix plain(const Operand& tokens, size_t role, size_t expert) {
        const Rows out = bench_.blank(tokens.n_rows(), kOutputs);
        bench_.backend.linear({.in = tokens, .weight = *linears_[role][expert], .out = out});
        return bench_.download(out);
    }
    // The mixture's output of tokens.
    Matrix combined(const Matrix& tokens, const Matrix& logits) {
        const Routed routed(bench_, logits, kTopK, true);
        const auto products = grouped(gathered(operand(tokens), routed.routing), routed.routing);
        const Rows out = bench_.blank(tokens.rows, kOutputs);
        bench_.backend.combine_experts(
            {.rows = bench_.upload(products.front()), .routing = routed.routing, .out = out});
        return bench_.download(out);
    }
    Bench& bench() { return bench_; }

  private:
    Bench bench_;
    Widths widths_;
    std::vector<std::vector<std::unique_ptr<Linear>>> linears_;
};

TEST_P(ExpertsOfAnyBackend, GroupedProductIsOneExpertAtATime) {
    const auto backend = subject();
    if (!backend) GTEST_SKIP() << "no mixtures";
    for (const Widths& widths : kWidthPairs) {
        for (const int64_t n_tokens : {1, 3, 70}) {
            Experts experts(*backend, widths, 2);
            Rng rng(12);
            Matrix logits = normal_matrix(n_tokens, kExperts, rng);
            for (int64_t t = 0; t < std::min(n_tokens, widths.first_positions); ++t) {
                logits.row(t)[0] = -50.0f;  // wider codes are the other experts'
            }
            const Matrix tokens = widths.tokens(n_tokens, rng);
            const Routed routed(experts.bench(), logits, kTopK, true);
            const Operand in = experts.operand(tokens);
            const auto products =
                experts.grouped(experts.gathered(in, routed.routing), routed.routing);
            for (size_t role = 0; role < 2; ++role) {
                std::vector<Matrix> plain;
                for (size_t e = 0; e < kExperts; ++e) plain.push_back(experts.plain(in, role, e));
                for (int64_t i = 0; i < routed.routing.n_rows(); ++i) {
                    const auto at = static_cast<size_t>(i);
                    const Matrix& expected = plain[static_cast<size_t>(routed.experts[at])];
                    ASSERT_TRUE(same({expected.row(i / kTopK), kOutputs},
                                     {products[role].row(routed.row_of[at]), kOutputs}))
                        << "W" << widths.weights << "A" << widths.activations << " group "
                        << widths.group << ", " << n_tokens << " tokens, row " << i;
                }
            }
        }
    }
}

TEST_P(ExpertsOfAnyBackend, TokensHaveTheSameBitsInAnyOrderAndCompany) {
    const auto backend = subject();
    if (!backend) GTEST_SKIP() << "no mixtures";
    constexpr int64_t kTokens = 45;
    for (const Widths& widths : kWidthPairs) {
        if (widths.first_positions > 0) continue;  // there a token's place counts
        Experts experts(*backend, widths, 1);
        Rng rng(13);
        const Matrix logits = normal_matrix(kTokens, kExperts, rng);
        const Matrix tokens = normal_matrix(kTokens, kInputs, rng);
        const Matrix together = experts.combined(tokens, logits);
        std::vector<int64_t> order(kTokens);
        std::iota(order.begin(), order.end(), 0);
        std::shuffle(order.begin(), order.end(), rng);
        const auto ordered = [&](const Matrix& m, int64_t n) {
            Matrix out(n, m.cols);
            for (int64_t i = 0; i < n; ++i) {
                std::copy_n(m.row(order[static_cast<size_t>(i)]), m.cols, out.row(i));
            }
            return out;
        };
        for (const int64_t n : {int64_t{1}, int64_t{5}, kTokens}) {
            const Matrix part = experts.combined(ordered(tokens, n), ordered(logits, n));
            ASSERT_TRUE(same(ordered(together, n).values, part.values))
                << "W" << widths.weights << "A" << widths.activations << ", " << n << " tokens";
        }
    }
}

INSTANTIATE_TEST_SUITE_P(All, ExpertsOfAnyBackend, testing::ValuesIn(all_backends()),
                         testing::PrintToStringParamName());

}  // namespace
}  // namespace quarot::backend_test
