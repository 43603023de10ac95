// Which double does a float stand for?
#include "core/decimal.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace quarot {

TEST(AsWritten, FloatsBecomeTheDoublesThatPeopleMean) {
    EXPECT_EQ(as_written(0.8f), 0.8);
    EXPECT_EQ(as_written(1e-6f), 1e-6);
    EXPECT_EQ(as_written(-16777216.0f), -16777216.0);
}

TEST(AsWritten, ReadsBackAsTheSameFloat) {
    using Limits = std::numeric_limits<float>;
    for (const float value : {Limits::max(), Limits::denorm_min(), -0.1f, 1.0f / 3.0f}) {
        EXPECT_EQ(static_cast<float>(as_written(value)), value);
    }
}

TEST(AsWritten, InfinitiesAndNanStay) {
    EXPECT_EQ(as_written(-INFINITY), -HUGE_VAL);
    EXPECT_TRUE(std::isnan(as_written(NAN)));
}

}  // namespace quarot
