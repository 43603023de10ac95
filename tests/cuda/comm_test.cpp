// What ranks on GPUs tell each other, against sums and copies on the host.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "core/error.h"
#include "kernels/cuda/cuda_comm.h"
#include "kernels/cuda/peer_exchange.h"
#include "kernels/group.h"

namespace quarot::kernels::cuda {

namespace {

struct Matrix {
    int64_t rows, cols, stride;
    int64_t elements() const { return rows * stride; }
};

class GpuRanks : public testing::TestWithParam<int> {
  protected:
    void SetUp() override {
        const auto n_gpus = static_cast<int>(gpus().size());
        if (GetParam() > n_gpus) {
            std::fprintf(stderr, "SKIPPED: %d ranks need as many GPUs, not %d\n", GetParam(),
                         n_gpus);
            GTEST_SKIP() << "not enough GPUs";
        }
        std::vector<Backend*> backends;
        for (int rank = 0; rank < GetParam(); ++rank) {
            Rank& made = group_.emplace_back();
            made.backend = make_backend("cuda:" + std::to_string(rank), {});
            backends.push_back(made.backend.get());
        }
        auto comms = backends.front()->join(std::span(backends).subspan(1));
        for (size_t i = 0; i < group_.size(); ++i) group_[i].comm = std::move(comms[i]);
    }

    // Values whose sums depend on the order.
    static std::vector<float> values_of(int rank, int64_t n, uint32_t seed) {
        std::mt19937 random(seed + 1000 * static_cast<uint32_t>(rank));
        std::vector<float> values(static_cast<size_t>(n));
        for (float& value : values) {
            const int exponent = static_cast<int>(random() % 40) - 20;
            value = std::ldexp(static_cast<float>(random() % 2000) - 1000.0f, exponent);
        }
        return values;
    }

    static float tree(const std::vector<std::vector<float>>& parts, size_t first, size_t count,
                      size_t i) {
        if (count == 1) return parts[first][i];
        return tree(parts, first, count / 2, i) + tree(parts, first + count / 2, count / 2, i);
    }

    // The buffer of rank r after work(rank, buffer), which began with values_of(r).
    template <typename Work>
    std::vector<std::vector<float>> after(int64_t n, uint32_t seed, const Work& work) {
        std::vector<std::vector<float>> results(group_.size());
        run_ranks(group_, [&](Rank& rank) {
            const int r = rank.comm->rank();
            std::vector<float> values = values_of(r, n, seed);
            const Buffer memory = rank.backend->allocate(n * 4);
            rank.backend->upload(memory.data(), values.data(), n * 4);
            work(rank, static_cast<float*>(memory.data()));
            rank.backend->download(values.data(), memory.data(), n * 4);
            rank.backend->synchronize();
            results[static_cast<size_t>(r)] = values;
        });
        return results;
    }

    std::vector<std::vector<float>> parts_of(int64_t n, uint32_t seed) {
        std::vector<std::vector<float>> parts;
        for (int rank = 0; rank < GetParam(); ++rank) parts.push_back(values_of(rank, n, seed));
        return parts;
    }

    std::vector<Rank> group_;
};

// Small and large ones, in any order, with padding between rows that nobody may touch.
TEST_P(GpuRanks, SumByOneTree) {
    const std::vector<Matrix> shapes = {
        {1, 1, 1},        {1, 4096, 4096}, {3, 577, 592},     {16, 8192, 8192},
        {17, 8192, 8192}, {300, 577, 577}, {300, 1000, 1008}, {1, kMostStamped, kMostStamped}};
    std::mt19937 random(1);
    for (uint32_t seed = 0; seed < 40; ++seed) {
        const Matrix shape = shapes[seed < shapes.size() ? seed : random() % shapes.size()];
        const auto parts = parts_of(shape.elements(), seed);
        const auto sums = after(shape.elements(), seed, [&](Rank& rank, float* data) {
            rank.comm->sum({data, DType::F32, shape.rows, shape.cols, shape.stride});
        });
        for (size_t r = 0; r < sums.size(); ++r) {
            for (size_t i = 0; i < sums[r].size(); ++i) {
                const bool inside = static_cast<int64_t>(i) % shape.stride < shape.cols;
                const float expected = inside ? tree(parts, 0, parts.size(), i) : parts[r][i];
                ASSERT_EQ(sums[r][i], expected) << "seed " << seed << " rank " << r << " at " << i;
            }
        }
    }
}

// Turns of stamped values and of barriers follow each other without a wait of the host.
TEST_P(GpuRanks, ManySumsInOneQueue) {
    constexpr int64_t kSmall = 999, kLarge = kMostStamped + 4096;
    const auto sums = after(kLarge, 7, [&](Rank& rank, float* data) {
        for (int i = 0; i < 100; ++i) {
            const int64_t n = i % 10 == 9 ? kLarge : kSmall;
            rank.comm->sum({data, DType::F32, 1, n, n});
        }
    });
    for (const auto& of_rank : sums) EXPECT_EQ(of_rank, sums.front());
}

TEST_P(GpuRanks, GatherColumnsInOrderOfRanks) {
    for (const Matrix shape : {Matrix{1, 8000, 8000}, Matrix{5, 77, 80}, Matrix{64, 504, 512}}) {
        const int64_t whole = shape.cols * GetParam();
        const auto parts = parts_of(shape.elements(), 3);
        const auto gathered = after(shape.rows * whole, 3, [&](Rank& rank, float* data) {
            const std::vector<float>& own = parts[static_cast<size_t>(rank.comm->rank())];
            const Buffer part = rank.backend->allocate(shape.elements() * 4);
            rank.backend->upload(part.data(), own.data(), shape.elements() * 4);
            rank.comm->gather_columns(
                {part.data(), DType::F32, shape.rows, shape.cols, shape.stride},
                {data, DType::F32, shape.rows, whole, whole});
            rank.backend->synchronize();
        });
        for (const auto& of_rank : gathered) {
            for (int64_t i = 0; i < shape.rows * whole; ++i) {
                const int64_t row = i / whole, column = i % whole;
                const auto from = static_cast<size_t>(column / shape.cols);
                const auto at = static_cast<size_t>(row * shape.stride + column % shape.cols);
                ASSERT_EQ(of_rank[static_cast<size_t>(i)], parts[from][at]) << i;
            }
        }
    }
}

TEST_P(GpuRanks, FindTheLargestAndSpreadTheFirst) {
    const auto parts = parts_of(1000, 5);
    const auto largest =
        after(1000, 5, [](Rank& rank, float* data) { rank.comm->maximum(data, 1000); });
    for (const auto& of_rank : largest) {
        for (size_t i = 0; i < of_rank.size(); ++i) {
            float most = parts[0][i];
            for (const auto& part : parts) most = std::max(most, part[i]);
            ASSERT_EQ(of_rank[i], most) << i;
        }
    }
    const auto spread =
        after(1000, 5, [](Rank& rank, float* data) { rank.comm->broadcast(data, 3999); });
    for (size_t r = 0; r < spread.size(); ++r) {
        EXPECT_TRUE(std::equal(parts[0].begin(), parts[0].end() - 1, spread[r].begin())) << r;
    }
}

// A rank adds its share alone, then everybody has all rows.
TEST_P(GpuRanks, SharesOfRowsAreAddedAndGathered) {
    for (const Matrix shape : {Matrix{77, 577, 592}, Matrix{300, 2048, 2048}}) {
        const auto parts = parts_of(shape.elements(), 13);
        const auto sums = after(shape.elements(), 13, [&](Rank& rank, float* data) {
            const Rows rows = {data, DType::F32, shape.rows, shape.cols, shape.stride};
            static_cast<PeerComm&>(*rank.comm).sum_share(rows);
            rank.comm->gather_rows(rows);
        });
        for (size_t r = 0; r < sums.size(); ++r) {
            for (size_t i = 0; i < sums[r].size(); ++i) {
                if (static_cast<int64_t>(i) % shape.stride >= shape.cols) continue;
                ASSERT_EQ(sums[r][i], tree(parts, 0, parts.size(), i)) << r << " at " << i;
            }
        }
    }
}

TEST_P(GpuRanks, RecordedSumsAreReplayed) {
    const auto sums = after(512, 11, [](Rank& rank, float* data) {
        const auto recording = rank.backend->record([&] {
            rank.comm->sum({data, DType::F32, 2, 256, 256});
        });
        for (int i = 0; i < 3; ++i) recording->replay();
        rank.backend->synchronize();
    });
    std::vector<std::vector<float>> expected = parts_of(512, 11);
    for (int turn = 0; turn < 3; ++turn) {
        const auto before = expected;
        for (auto& of_rank : expected) {
            for (size_t i = 0; i < 512; ++i) of_rank[i] = tree(before, 0, before.size(), i);
        }
    }
    EXPECT_EQ(sums, expected);
}

TEST_P(GpuRanks, ARankThatFailsLeavesNobodyWaiting) {
    for (const int64_t n : {int64_t{64}, 2 * kMostStamped}) {
        group_.clear();
        SetUp();
        try {
            after(n, 1, [&](Rank& rank, float* data) {
                if (rank.comm->rank() == GetParam() - 1) fail(ErrorCode::Numeric, "the last one");
                rank.comm->sum({data, DType::F32, 1, n, n});
            });
            FAIL() << "no error";
        } catch (const Error& error) {
            EXPECT_STREQ(error.what(), "the last one");
        }
    }
}

TEST(GpuGroups, OfOtherSizesOrOnOneGpuAreRefused) {
    if (gpus().empty()) GTEST_SKIP() << "no GPU";
    std::vector<std::unique_ptr<Backend>> backends;
    for (int i = 0; i < 3; ++i) backends.push_back(make_backend("cuda", {}));
    const std::vector<Backend*> others = {backends[1].get(), backends[2].get()};
    EXPECT_THROW(backends[0]->join(others), Error);
    EXPECT_THROW(backends[0]->join(std::span(others).first(1)), Error);
}

INSTANTIATE_TEST_SUITE_P(Sizes, GpuRanks, testing::Values(2, 4, 8));

}  // namespace
}  // namespace quarot::kernels::cuda
