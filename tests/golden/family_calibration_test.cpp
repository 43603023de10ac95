// Does calibration run layers that differ from each other (windows, RoPE, norms of outputs) as the
// forward pass does?
#include <gtest/gtest.h>

#include <map>

#include "core/thread_pool.h"
#include "golden/golden_support.h"
#include "quantize/calibration/calibration.h"
#include "quantize/rotated_weight.h"
#include "stats/window_walk.h"
#include "support/checkout.h"

namespace quarot::test {

namespace {

using model::InputSite;
using model::LinearRole;
using stats::Point;
using Place = std::pair<int64_t, Point>;

constexpr double kLimit = 1e-5;  // of the largest value

constexpr std::array kPoints = {Point::AttentionIn, Point::OutputIn, Point::MlpIn, Point::DownIn};

std::vector<int32_t> window_of_tokens() {
    std::vector<int32_t> ids;
    for (int32_t i = 0; i < 40; ++i) ids.push_back((i * i * 13 + 5 * i + 1) % 90);
    return ids;
}

// What linears read in the forward pass, layer by layer.
std::map<Place, std::vector<float>> inputs_of_forward(const std::string& folder) {
    LoadedModel model = load(folder, {.context = 64});
    stats::Selection all = {{}, {kPoints.begin(), kPoints.end()}};
    for (int64_t i = 0; i < model.weights->config.n_layers; ++i) all.layers.push_back(i);
    std::map<Place, std::vector<float>> inputs;
    stats::WindowWalk walk(*model.weights, *model.backend, all);
    walk.run(window_of_tokens(), [&](const stats::Look& look) {
        inputs[{look.layer, look.point}] = {look.read.begin(), look.read.end()};
    });
    return inputs;
}

std::vector<float> values_of(const kernels::Rows& rows) {
    std::vector<float> values;
    for (int64_t row = 0; row < rows.rows; ++row) {
        values.insert(values.end(), rows.f32(row), rows.f32(row) + rows.cols);
    }
    return values;
}

class FamilyCalibration : public testing::TestWithParam<std::string> {};

INSTANTIATE_TEST_SUITE_P(All, FamilyCalibration,
                         testing::Values("mistral", "gemma", "gemma2", "gemma3", "smollm3",
                                         "granite", "olmo2"),
                         [](const auto& test) { return test.param; });

}  // namespace

TEST_P(FamilyCalibration, SeesWhatTheForwardPassReads) {
    const std::string folder = in_checkout("tests/golden/families/" + GetParam());
    const auto expected = inputs_of_forward(folder);
    const auto source = folder::SourceModel::open(folder);
    const model::ModelConfig& config = source.config();
    const Recipe recipe = full_precision_recipe();
    const rotate::Rotation none = rotate::make_rotation(recipe.rotation, config);
    ThreadPool pool(1);
    const auto backend = kernels::make_backend("cpu", {.n_threads = 2});
    quantize::Calibration calibration(config, recipe, "tiny", {window_of_tokens()}, *backend);
    const auto embedding = quantize::linear_source(source, {LinearRole::Embedding}, recipe, none);
    calibration.embed(quantize::RotatedWeight(embedding, none, config, pool),
                      [](std::span<float>) {});
    for (int64_t layer = 0; layer < config.n_layers; ++layer) {
        for (const model::NormRole role : norms_of(config, layer)) {
            calibration.set_norm(role, source.norm_gain(role, layer));
        }
        for (const model::SiteRule& site : sites_of(config, layer)) {
            const auto& wanted = expected.at({layer, kPoints[static_cast<size_t>(site.site)]});
            calibration.for_inputs(site.site, [&](const kernels::Rows& inputs) {
                EXPECT_LE(max_abs_difference(values_of(inputs), wanted), kLimit * max_abs(wanted))
                    << "layer " << layer << ", " << site.name;
            });
            for (const LinearRole role : site.roles) {
                auto weight = std::make_shared<const Tensor>(source.dense({role, layer}));
                calibration.set_linear({role, layer},
                                       {std::move(weight), source.bias({role, layer})});
            }
        }
        calibration.finish_layer();
    }
}

}  // namespace quarot::test
