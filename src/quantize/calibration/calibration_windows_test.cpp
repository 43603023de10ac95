// Windows of the calibration text, and the draws of the original program.
#include "quantize/calibration/calibration_windows.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <string>

#include "core/error.h"
#include "quantize/calibration/python_random.h"

namespace quarot::quantize {
namespace {

std::vector<int32_t> counting(int64_t n) {
    std::vector<int32_t> ids(static_cast<size_t>(n));
    std::iota(ids.begin(), ids.end(), 0);
    return ids;
}

CalibrationSpec spec_of(int64_t n, int64_t seqlen, CalibrationWindows windows) {
    CalibrationSpec spec;
    spec.n_samples = n;
    spec.seqlen = seqlen;
    spec.windows = windows;
    return spec;
}

TEST(PythonRandom, DrawsWhatCPythonDraws) {
    PythonRandom random(0);
    for (const uint32_t expected : {3541761u, 1615835u, 3179091u, 3733953u, 1764005u, 169803u}) {
        EXPECT_EQ(random.next() >> 10, expected);  // random.seed(0); random.getrandbits(22)
    }
}

TEST(PythonRandom, DrawsThatDoNotFitAreRepeated) {
    // [random.randint(0, 10) for _ in range(12)] after random.seed(1), CPython 3.11
    PythonRandom random(1);
    for (const uint32_t expected : {2u, 9u, 1u, 4u, 1u, 7u, 7u, 7u, 10u, 6u, 3u, 1u}) {
        EXPECT_EQ(random.up_to(10), expected);
    }
}

TEST(CalibrationWindows, FirstOnesFollowOneAnother) {
    const TokenWindows windows =
        calibration_windows(counting(25), spec_of(3, 8, CalibrationWindows::First), 0);
    ASSERT_EQ(windows.size(), 3u);
    for (size_t i = 0; i < windows.size(); ++i) {
        ASSERT_EQ(windows[i].size(), 8u);
        EXPECT_EQ(windows[i].front(), static_cast<int32_t>(8 * i));
    }
}

TEST(CalibrationWindows, RandomOnesDependOnTheSeedAlone) {
    const auto ids = counting(1000);
    const auto spec = spec_of(20, 16, CalibrationWindows::Random);
    const TokenWindows windows = calibration_windows(ids, spec, 7);
    EXPECT_EQ(windows, calibration_windows(ids, spec, 7));
    EXPECT_NE(windows, calibration_windows(ids, spec, 8));
    for (const auto& window : windows) {
        EXPECT_TRUE(std::is_sorted(window.begin(), window.end()));
        EXPECT_EQ(window.back() - window.front(), 15);
    }
}

TEST(CalibrationWindows, ATextThatIsTooShortIsRefusedWithBothNumbers) {
    for (const auto kind : {CalibrationWindows::First, CalibrationWindows::Random}) {
        try {
            calibration_windows(counting(8), spec_of(2, 8, kind), 0);
            FAIL() << "expected an error";
        } catch (const Error& error) {
            EXPECT_EQ(error.code(), ErrorCode::Usage);
            EXPECT_NE(std::string(error.what()).find("has 8 tokens"), std::string::npos);
        }
    }
}

}  // namespace
}  // namespace quarot::quantize
