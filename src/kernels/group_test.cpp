// What the ranks of a group tell each other.
#include "kernels/group.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "core/error.h"

namespace quarot::kernels {

namespace {

Rows rows_in(std::vector<float>& values, int64_t rows, int64_t cols, int64_t stride) {
    return {values.data(), DType::F32, rows, cols, stride};
}

class GroupTest : public testing::TestWithParam<int> {
  protected:
    std::vector<Rank> group_ = make_group("cpu", {.n_threads = 1}, GetParam());
};

using SeveralRanks = GroupTest;  // a group of one has whole rows

// Numbers whose sum depends on the order: the tree's is the one expected.
TEST_P(GroupTest, SumsByOneTreeOnEveryRank) {
    const float parts[4] = {1e8f, 3.0f, -1e8f, 5.0f};
    const float sums[5] = {0, 1e8f, 1e8f + 3.0f, (1e8f + 3.0f) + -1e8f,
                           (1e8f + 3.0f) + (-1e8f + 5.0f)};
    std::atomic<int> n_right = 0;
    run_ranks(group_, [&](Rank& rank) {
        std::vector<float> values(2 * 5, -7.0f);  // two rows of three, padded
        const float own = parts[rank.comm->rank()];
        for (const int i : {0, 1, 2, 5, 6, 7}) values[static_cast<size_t>(i)] = own;
        rank.comm->sum(rows_in(values, 2, 3, 5));
        const float sum = sums[GetParam()];
        if (values == std::vector<float>{sum, sum, sum, -7, -7, sum, sum, sum, -7, -7}) ++n_right;
    });
    EXPECT_EQ(n_right, GetParam());
}

TEST_P(SeveralRanks, GatherColumnsInOrderOfRanks) {
    std::atomic<int> n_right = 0;
    run_ranks(group_, [&](Rank& rank) {
        const auto own = static_cast<float>(rank.comm->rank());
        std::vector<float> part = {own, own + 10, own, own + 20};
        std::vector<float> whole(static_cast<size_t>(4 * GetParam())), expected;
        for (const int second : {10, 20}) {
            for (int r = 0; r < GetParam(); ++r) {
                expected.push_back(static_cast<float>(r));
                expected.push_back(static_cast<float>(r + second));
            }
        }
        rank.comm->gather_columns(rows_in(part, 2, 2, 2),
                                  rows_in(whole, 2, 2 * GetParam(), 2 * GetParam()));
        if (whole == expected) ++n_right;
    });
    EXPECT_EQ(n_right, GetParam());
}

// Shares of 7 rows among 2, 3, 4: none is empty, and they are not equal.
TEST_P(GroupTest, GathersTheRowsOfEachRanksShare) {
    std::atomic<int> n_right = 0;
    run_ranks(group_, [&](Rank& rank) {
        std::vector<float> values(7 * 4, static_cast<float>(10 * rank.comm->rank()));
        rank.comm->gather_rows(rows_in(values, 7, 3, 4));
        std::vector<float> expected(7 * 4, static_cast<float>(10 * rank.comm->rank()));
        for (int r = 0; r < GetParam(); ++r) {
            const comm::RowShare share = comm::row_share(7, r, GetParam());
            for (int64_t row = share.first; row < share.first + share.count; ++row) {
                std::fill_n(expected.begin() + row * 4, 3, static_cast<float>(10 * r));
            }
        }
        if (values == expected) ++n_right;
    });
    EXPECT_EQ(n_right, GetParam());
}

TEST_P(GroupTest, FindsTheLargestAndSpreadsTheFirst) {
    std::atomic<int> n_right = 0;
    run_ranks(group_, [&](Rank& rank) {
        const auto own = static_cast<float>(rank.comm->rank());
        std::vector<float> values = {own, -own};
        rank.comm->maximum(values.data(), 2);
        int32_t word = 40 + rank.comm->rank();
        rank.comm->broadcast(&word, sizeof(word));
        const auto largest = static_cast<float>(GetParam() - 1);
        if (values == std::vector<float>{largest, 0.0f} && word == 40) ++n_right;
    });
    EXPECT_EQ(n_right, GetParam());
}

TEST_P(GroupTest, ARankThatFailsLeavesNobodyWaiting) {
    try {
        run_ranks(group_, [&](Rank& rank) {
            if (rank.comm->rank() == GetParam() - 1) fail(ErrorCode::Numeric, "the last one");
            std::vector<float> values(4);
            rank.comm->sum(rows_in(values, 1, 4, 4));
        });
        FAIL() << "no error";
    } catch (const Error& error) {
        EXPECT_STREQ(error.what(), "the last one") << "not what the others heard of it";
    }
}

class JoinedBackends : public testing::TestWithParam<std::string> {
  protected:
    std::unique_ptr<Backend> backends_[3] = {make(), make(), make()};
    Backend* const others_[2] = {backends_[1].get(), backends_[2].get()};

  private:
    static std::unique_ptr<Backend> make() { return make_backend(GetParam(), {.n_threads = 1}); }
};

TEST_P(JoinedBackends, AreRanksInTheirOrder) {
    const auto comms = backends_[0]->join(others_);
    ASSERT_EQ(comms.size(), 3u);
    for (int rank = 0; rank < 3; ++rank) {
        EXPECT_EQ(comms[static_cast<size_t>(rank)]->rank(), rank);
        EXPECT_EQ(comms[static_cast<size_t>(rank)]->size(), 3);
    }
    const auto alone = backends_[0]->join({});
    ASSERT_EQ(alone.size(), 1u);
    EXPECT_EQ(alone.front()->size(), 1);
}

// What kinds of backend say that override nothing.
TEST_P(JoinedBackends, OfAKindWithoutGroupsAreRefusedByName) {
    EXPECT_EQ(backends_[0]->Backend::join({}).size(), 1u);
    try {
        backends_[0]->Backend::join(others_);
        FAIL() << "no error";
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::Unsupported);
        EXPECT_STREQ(error.what(),
                     ("a group of 3 ranks is not available on " + GetParam()).c_str());
    }
}

INSTANTIATE_TEST_SUITE_P(Backends, JoinedBackends, testing::Values("reference", "cpu"));
INSTANTIATE_TEST_SUITE_P(Sizes, GroupTest, testing::Values(1, 2, 3, 4));
INSTANTIATE_TEST_SUITE_P(Sizes, SeveralRanks, testing::Values(2, 3, 4));

}  // namespace
}  // namespace quarot::kernels
