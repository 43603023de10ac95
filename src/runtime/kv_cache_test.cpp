#include "runtime/kv_cache.h"

#include <gtest/gtest.h>

#include <set>

#include "core/error.h"

namespace quarot::runtime {

TEST(PageTables, SequencesOwnDisjointPages) {
    PageTables tables(6, 4);
    const SequenceId a = tables.add_sequence();
    const SequenceId b = tables.add_sequence();
    tables.extend(a, 5);
    tables.extend(b, 4);
    tables.extend(a, 3);
    EXPECT_EQ(tables.length(a), 8);
    EXPECT_EQ(tables.pages(a).size(), 2u);
    EXPECT_EQ(tables.pages(b).size(), 1u);
    std::set<int32_t> all(tables.pages(a).begin(), tables.pages(a).end());
    all.insert(tables.pages(b).begin(), tables.pages(b).end());
    EXPECT_EQ(all.size(), 3u);
    EXPECT_EQ(tables.free_pages(), 3);
}

TEST(PageTables, RunningOutOfPagesChangesNothing) {
    PageTables tables(2, 4);
    const SequenceId a = tables.add_sequence();
    tables.extend(a, 4);
    try {
        tables.extend(a, 5);
        FAIL() << "nine tokens fitted two pages of four";
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::OutOfMemory);
    }
    EXPECT_EQ(tables.length(a), 4);
    EXPECT_EQ(tables.free_pages(), 1);
    tables.extend(a, 4);
    EXPECT_EQ(tables.free_pages(), 0);
}

TEST(PageTables, RemovedPagesAreUsedAgain) {
    PageTables tables(2, 4);
    const SequenceId a = tables.add_sequence();
    tables.extend(a, 8);
    tables.remove_sequence(a);
    const SequenceId b = tables.add_sequence();
    tables.extend(b, 8);
    EXPECT_EQ(tables.pages(b).size(), 2u);
    EXPECT_NE(a, b);
}

}  // namespace quarot::runtime
