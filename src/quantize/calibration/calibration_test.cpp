// Is a Hessian the mean of x x^T over all tokens of all windows, with x what the site reads in the
// network as it is?
#include "quantize/calibration/calibration.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "kernels/backend.h"
#include "quantize/folder_fixture_for_tests.h"
#include "quantize/rotated_weight.h"
#include "support/plain_network.h"

namespace quarot::quantize {
namespace {

using model::InputSite;
using model::LinearRole;

constexpr double kLimit = 1e-5;  // of the largest entry; activations are fp32

using CalibrationTest = FolderTest;

TokenWindows three_windows() {
    TokenWindows windows(3);
    for (int32_t w = 0; w < 3; ++w) {
        for (int32_t i = 0; i < 20; ++i) windows[w].push_back((37 * w + i * i * 5 + 3 * i) % 272);
    }
    return windows;
}

// By layer and site, [n, n].
std::vector<std::array<std::vector<double>, 4>> plain_hessians(
    const test::TinyModel& model, const test::TinyModelOptions& options,
    const TokenWindows& windows) {
    std::vector<std::array<std::vector<double>, 4>> hessians(options.n_layers);
    for (const auto& window : windows) {
        const test::PlainRun run = test::run_plain(model, options, window);
        const auto n_tokens = std::ssize(window);
        for (size_t layer = 0; layer < run.layers.size(); ++layer) {
            for (size_t site = 0; site < 4; ++site) {
                const std::vector<double>& x = run.layers[layer][site];
                const int64_t n = std::ssize(x) / n_tokens;
                std::vector<double>& h = hessians[layer][site];
                h.resize(n * n);
                for (int64_t t = 0; t < n_tokens; ++t) {
                    for (int64_t i = 0; i < n; ++i) {
                        for (int64_t j = 0; j < n; ++j) {
                            h[i * n + j] += x[t * n + i] * x[t * n + j] /
                                            static_cast<double>(n_tokens * std::ssize(windows));
                        }
                    }
                }
            }
        }
    }
    return hessians;
}

void set_linears(Calibration& calibration, const folder::SourceModel& source,
                 const model::SiteRule& site, int64_t layer) {
    for (const LinearRole role : site.roles) {
        auto weight = std::make_shared<const Tensor>(source.dense({role, layer}));
        calibration.set_linear(role, {std::move(weight), source.bias({role, layer})});
    }
}

TEST_F(CalibrationTest, FourHessiansOfEachLayerAreThoseOfTheNetwork) {
    const test::TinyModelOptions options = {.attention_bias = true, .mlp_bias = true, .seed = 7};
    const test::TinyModel tiny = test::make_tiny_model(options);
    test::write_model(tiny, in);
    const folder::SourceModel source = folder::SourceModel::open(in);
    const TokenWindows windows = three_windows();
    const auto expected = plain_hessians(tiny, options, windows);

    const Recipe recipe = full_precision_recipe();
    const rotate::Rotation rotation = rotate::make_rotation(recipe.rotation, source.config());
    ThreadPool pool(1);
    const auto backend = kernels::make_backend("cpu", {.n_threads = 2});
    Calibration calibration(source.config(), recipe, "tiny", windows, *backend);
    calibration.embed(
        RotatedWeight(linear_source(source, {LinearRole::Embedding}, recipe, rotation), rotation,
                      source.config(), pool),
        [](std::span<float>) {});
    for (int64_t layer = 0; layer < 2; ++layer) {
        for (const model::NormRole role : norms_of(source.config(), layer)) {
            calibration.set_norm(role, source.norm_gain(role, layer));
        }
        for (const model::SiteRule& site : sites_of(source.config(), layer)) {
            const Hessian hessian = calibration.hessian(site.site);
            const std::span<const double> found = hessian.on_host();
            const auto& wanted = expected[layer][static_cast<size_t>(site.site)];
            ASSERT_EQ(found.size(), wanted.size());
            double largest = 0.0, difference = 0.0;
            for (size_t i = 0; i < found.size(); ++i) {
                largest = std::max(largest, std::fabs(wanted[i]));
                difference = std::max(difference, std::fabs(found[i] - wanted[i]));
            }
            EXPECT_LE(difference, kLimit * largest)
                << "layer " << layer << ", site " << static_cast<int>(site.site);
            set_linears(calibration, source, site, layer);
        }
        calibration.finish_layer();
    }
}

}  // namespace
}  // namespace quarot::quantize
