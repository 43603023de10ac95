// Integer sums of every tier at as many random shapes as take half a minute each.
#include "kernels/cpu/int_sums_for_tests.h"
#include "kernels/cpu/present_tiers_for_tests.h"

namespace quarot::kernels::cpu {
namespace {

TEST(IntegerSums, AreExactAtThousandsOfRandomShapes) {
    for (const std::string& tier : present_tiers()) {
        check_random_products(choose_kernels(tier), 1000, 5000);
    }
}

}  // namespace
}  // namespace quarot::kernels::cpu
