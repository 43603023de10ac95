// What GPTQ and groups are worth: output errors of every linear beside plain rounding on the same
// grids, on text beside the calibrated one, and perplexities.
#include <algorithm>
#include <array>
#include <cmath>

#include "golden/agreement.h"
#include "golden/output_errors.h"

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

constexpr int64_t kSeqlen = 2048;    // of windows of the calibration text
constexpr int64_t kCalibrated = 32;  // of them, from the first on
constexpr int64_t kOthers = 2;       // after these

// Calibrated on the first windows.
Recipe calibrated(const std::string& name, int64_t n_windows = kCalibrated) {
    Recipe recipe = named_recipe(name);
    recipe.calibration = {
        .n_samples = n_windows, .seqlen = kSeqlen, .windows = CalibrationWindows::First};
    return recipe;
}

// The windows that follow those.
quantize::TokenWindows other_windows(const std::string& model) {
    auto windows = job_of(model, calibrated("quarot", kCalibrated + kOthers)).calibration;
    windows.erase(windows.begin(), windows.begin() + kCalibrated);
    return windows;
}

// What calibrated("quarot") rounds.
Recipe rotated_floats() {
    Recipe recipe = named_recipe("quarot-rtn");
    recipe.weights.bits = 16;
    recipe.storage = DType::F32;
    return recipe;
}

double median_of(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    const size_t middle = values.size() / 2;
    return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2.0;
}

class GptqGain : public testing::TestWithParam<Case> {};

}  // namespace

// As the report says, by the Hessians that the codes were solved for.
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

// On text that no Hessian has seen, so that a wrong one cannot vouch for itself.
TEST(GptqOnOtherText, EveryLinearsOutputErrorIsBelowThatOfNearestCodes) {
    const Case& c = kCases.front();
    const std::string in = model_folder(c.model);
    QUAROT_NEED(in, c.model);
    QUAROT_NEED(calibration_text(), "the calibration text");
    const TempDir dir;
    quantize::quantize_model(in, dir / "codes", job_of(c.model, calibrated("quarot")));
    quantize::quantize_model(in, dir / "floats", job_of(c.model, rotated_floats()));
    OutputErrors backend(kernels::make_backend("cpu", {.n_threads = 2}));
    const LoadedModel model = load_on(backend, dir / "codes", {.context = kSeqlen});
    backend.watch(*model.weights, folder::SourceModel::open(dir / "codes"),
                  folder::SourceModel::open(dir / "floats"));
    for (const auto& window : other_windows(c.model)) {
        runtime::ScopedRequest request(
            *model.engine,
            {.tokens = window, .max_tokens = std::ssize(window), .shares_prefix = false},
            [](const runtime::StepRows&) {});
        request.wait();
    }
    std::vector<double> shares;
    for (const auto& [name, error] : backend.errors()) {
        std::printf("SHARE %s %s %.4f\n", c.model.c_str(), name.c_str(), error.share());
        EXPECT_LE(error.share(), kWorstShare) << name;
        shares.push_back(error.share());
    }
    ASSERT_EQ(shares.size(), linears_of(model.weights->config).size());
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
