#include "reproduce/order_of_methods.h"

#include <gtest/gtest.h>

#include <utility>

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

TEST(OrderOfMethods, AGapCountsOnlyAgainstItsOwnSpread) {
    const auto method = [](std::vector<double> window_nll) {
        Method result;
        result.window_nll = std::move(window_nll);
        return result;
    };
    const Method base = method({3.0, 2.0, 4.0, 1.0});
    EXPECT_FALSE(is_too_close_to_call(base, method({3.1, 2.1, 4.1, 1.11}))) << "always worse";
    EXPECT_TRUE(is_too_close_to_call(base, method({3.1, 1.9, 4.1, 0.95}))) << "now better, now not";
    EXPECT_TRUE(is_too_close_to_call(method({3.0}), method({9.0}))) << "one window says nothing";
}

}  // namespace
}  // namespace quarot::reproduce
