// Do axes span their values with few round numbers, whatever the values are?
#include "plot/axis.h"

#include <gtest/gtest.h>

#include <limits>

#include "core/expect_error.h"

namespace quarot::plot {
namespace {

using Values = std::vector<double>;

TEST(Axis, LinearOnesSpanTheirValuesInRoundSteps) {
    const Axis axis = Axis::linear(Values{-55.0, 72.4});
    EXPECT_EQ(axis.ticks(), (Values{-100.0, -50.0, 0.0, 50.0, 100.0}));
    EXPECT_EQ(axis.share(-100.0), 0.0);
    EXPECT_EQ(axis.share(50.0), 0.75);
    EXPECT_EQ(axis.share(1000.0), 1.0) << "outside";
    EXPECT_EQ(axis.label(-50.0), "-50");
    EXPECT_EQ(Axis::linear(Values{0.1, 0.34}).label(0.15), "0.15");
}

TEST(Axis, EqualNoAndHugeValuesGetRoom) {
    for (const Values& values :
         {Values{}, Values{0.0}, Values{7.0, 7.0}, Values{-1e30, 1e30}, Values{1e-30, 2e-30},
          Values{3e38, 3e38}, Values{0.0, 5e-324}, Values{-1e300, 1e300}}) {
        for (const Axis& axis : {Axis::linear(values), Axis::from_zero(values),
                                 Axis::within(values), Axis::logarithmic(values)}) {
            EXPECT_LT(axis.low(), axis.high());
            EXPECT_GE(axis.ticks().size(), 2u);
            EXPECT_LE(axis.ticks().size(), 14u);
            for (const double value : values) {
                EXPECT_GE(axis.share(value), 0.0);
                EXPECT_LE(axis.share(value), 1.0);
            }
        }
    }
}

TEST(Axis, NoAxisSpansWhatIsNotFinite) {
    using Limits = std::numeric_limits<double>;
    for (const double bad : {Limits::quiet_NaN(), Limits::infinity(), -1.7e308}) {
        const Values values = {1.0, bad};
        expect_error(ErrorCode::Internal, {"axis.cpp"}, [&] { Axis::linear(values); });
        expect_error(ErrorCode::Internal, {"axis.cpp"}, [&] { Axis::within(values); });
        expect_error(ErrorCode::Internal, {"axis.cpp"}, [&] { Axis::logarithmic(values); });
    }
}

TEST(Axis, WithinEndsWhereValuesEnd) {
    const Axis axis = Axis::within(Values{0.0, 7.0});
    EXPECT_EQ(axis.high(), 7.0);
    EXPECT_EQ(axis.ticks(), (Values{0.0, 2.0, 4.0, 6.0}));
}

TEST(Axis, FromZeroHasZero) {
    EXPECT_EQ(Axis::from_zero(Values{18.0, 22.0}).low(), 0.0);
    EXPECT_EQ(Axis::from_zero(Values{-18.0, -22.0}).high(), 0.0);
}

TEST(Axis, LogarithmicOnesStandAtDecadesOrTheirParts) {
    const Axis wide = Axis::logarithmic(Values{2.8, 4498.0});
    EXPECT_EQ(wide.ticks(), (Values{1.0, 10.0, 100.0, 1000.0, 10000.0}));
    EXPECT_NEAR(wide.share(100.0), 0.5, 1e-12);
    EXPECT_EQ(Axis::logarithmic(Values{2.0, 3e6}).label(1e5), "10⁵");
    const Axis narrow = Axis::logarithmic(Values{11.6, 180.0});
    EXPECT_EQ(narrow.ticks(), (Values{10.0, 20.0, 50.0, 100.0, 200.0}));
    const Axis odd = Axis::logarithmic(Values{0.0, -3.0, 5.0});
    EXPECT_GT(odd.share(5.0), 0.0);
    EXPECT_EQ(odd.share(0.0), 0.0) << "left out, at the low end";
    EXPECT_LE(Axis::logarithmic(Values{1e-30, 1e30}).ticks().size(), 12u);
}

}  // namespace
}  // namespace quarot::plot
