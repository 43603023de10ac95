// Integer sums of every tier at a few hundred random shapes; int_sums_slow_test.cpp takes more.
#include "kernels/cpu/int_sums_for_tests.h"
#include "kernels/cpu/present_tiers_for_tests.h"

namespace quarot::kernels::cpu {
namespace {

TEST(IntegerSums, AreExactAtAFewHundredRandomShapes) {
    for (const std::string& tier : present_tiers()) {
        check_random_products(choose_kernels(tier), 1, 200);
    }
}

}  // namespace
}  // namespace quarot::kernels::cpu
