#include "reproduce/order_of_methods.h"

#include <gtest/gtest.h>

namespace quarot::reproduce {
namespace {

using Names = std::vector<std::string>;

TEST(OrderOfMethods, AgreesWhereBothSidesSortAlike) {
    const MethodOrder order =
        compare_orders({{"c", 3.0, 30.0}, {"a", 1.0, 10.0}, {"b", 2.0, 20.0}});
    EXPECT_EQ(order.paper, (Names{"a", "b", "c"}));
    EXPECT_EQ(order.ours, order.paper);
    EXPECT_TRUE(order.swaps.empty());
}

TEST(OrderOfMethods, NamesEachPairThatChangedPlaces) {
    const MethodOrder order =
        compare_orders({{"a", 1.0, 25.0}, {"b", 2.0, 20.0}, {"c", 3.0, 30.0}});
    EXPECT_EQ(order.ours, (Names{"b", "a", "c"}));
    ASSERT_EQ(order.swaps.size(), 1u);
    EXPECT_EQ(order.swaps.front().paper_prefers.name, "a");
    EXPECT_EQ(order.swaps.front().we_prefer.name, "b");
}

TEST(OrderOfMethods, TakesATieForAgreement) {
    EXPECT_TRUE(compare_orders({{"a", 1.0, 5.0}, {"b", 2.0, 5.0}}).swaps.empty());
    EXPECT_EQ(compare_orders({{"b", 2.0, 5.0}, {"a", 1.0, 5.0}}).ours, (Names{"b", "a"}));
    EXPECT_TRUE(compare_orders({{"a", 1.0, 6.0}, {"b", 1.0, 5.0}}).swaps.empty());
}

}  // namespace
}  // namespace quarot::reproduce
