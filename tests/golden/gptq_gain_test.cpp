// What GPTQ and groups are worth: output errors of every linear beside plain rounding on the same
// grids, and perplexities.
#include <algorithm>
#include <array>
#include <cmath>

#include "golden/agreement.h"

namespace quarot::test {

namespace {

struct Case {
    std::string model;
    int64_t seqlen, windows;  // of the perplexity
    double median_share;      // of the nearest codes' output error, at most
    int64_t group;            // 128, or 64 where 128 does not divide
};

const std::array<Case, 2> kCases = {{
    {"tiny-novels", 1024, 0, 0.6, 128},
    {"smollm2-135m", 2048, 8, 0.35, 64},
}};

constexpr double kWorstShare = 0.9;

// Calibrated on the first 32 windows of 2048 tokens.
Recipe calibrated(const std::string& name) {
    Recipe recipe = named_recipe(name);
    recipe.calibration = {.n_samples = 32, .seqlen = 2048, .windows = CalibrationWindows::First};
    return recipe;
}

double median_of(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    const size_t middle = values.size() / 2;
    return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2.0;
}

class GptqGain : public testing::TestWithParam<Case> {};

}  // namespace

TEST_P(GptqGain, EveryLinearsOutputErrorIsBelowThatOfNearestCodes) {
    const Case& c = GetParam();
    QUAROT_NEED(model_folder(c.model), c.model);
    QUAROT_NEED(calibration_text(), "the calibration text");
    const TempDir dir;
    const auto report = quantize::quantize_model(model_folder(c.model), dir / "out",
                                                 job_of(c.model, calibrated("quarot")));
    std::vector<double> shares;
    for (const auto& layer : report.layers) {
        if (layer.weights == 0) continue;
        ASSERT_TRUE(layer.weighted_error && layer.nearest_weighted_error) << layer.name;
        const double share = *layer.weighted_error / *layer.nearest_weighted_error;
        std::printf("SHARE %s %s %.4f\n", c.model.c_str(), layer.name.c_str(), share);
        EXPECT_LE(share, kWorstShare) << layer.name;
        shares.push_back(share);
    }
    ASSERT_FALSE(shares.empty());
    std::printf("MEDIAN %s %.4f of %zu, worst %.4f\n", c.model.c_str(), median_of(shares),
                shares.size(), *std::max_element(shares.begin(), shares.end()));
    EXPECT_LE(median_of(shares), c.median_share);
}

TEST_P(GptqGain, RemovesHalfOfWhatRoundingCostsAndGroupsRemoveMore) {
    const Case& c = GetParam();
    QUAROT_NEED(model_folder(c.model), c.model);
    QUAROT_NEED(calibration_text(), "the calibration text");
    QUAROT_NEED(evaluation_text(c.model), "the text of " + c.model);
    const auto measure = [&](const std::string& name, int64_t group) {
        Recipe recipe = calibrated(name);
        recipe.weights.group_size = recipe.activations.group_size = group;
        const double perplexity = perplexity_of(c.model, recipe, c.seqlen, c.windows);
        std::printf("GAIN %s %s group %lld perplexity %.4f\n", c.model.c_str(), name.c_str(),
                    static_cast<long long>(group), perplexity);
        return perplexity;
    };
    Recipe full = named_recipe("quarot-rtn");
    full.weights.bits = full.activations.bits = full.k.bits = full.v.bits = 16;
    const double base = perplexity_of(c.model, full, c.seqlen, c.windows);
    const double rtn = measure("quarot-rtn", 0);
    const double gptq = measure("quarot", 0);
    EXPECT_LT(measure("quarot-rtn", c.group), rtn);
    EXPECT_LT(measure("quarot", c.group), gptq);
    EXPECT_LT(gptq, rtn);
    const double share = std::log(gptq / base) / std::log(rtn / base);
    std::printf("GAIN %s share of the loss left %.3f\n", c.model.c_str(), share);
    if (c.model == "smollm2-135m") {
        EXPECT_LE(share, 0.5);
    }
}

INSTANTIATE_TEST_SUITE_P(Models, GptqGain, testing::ValuesIn(kCases), [](const auto& test) {
    return test.param.model == "tiny-novels" ? "tiny_novels" : "smollm2";
});

}  // namespace quarot::test
