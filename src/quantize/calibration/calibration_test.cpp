// Is a Hessian the mean of x x^T over all tokens of all windows, with x what the site reads in the
// network as it is?
#include "quantize/calibration/calibration.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "kernels/backend.h"
#include "quantize/calibration/download_row.h"
#include "quantize/calibration/site_moments.h"
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

TEST(HeldOut, IsEveryEighthWindowOrTheLastOfFewer) {
    const auto held_out = [](int64_t n_windows) {
        std::vector<int64_t> windows;
        for (int64_t w = 0; w < n_windows; ++w) {
            if (is_held_out(w, n_windows)) windows.push_back(w);
        }
        return windows;
    };
    EXPECT_EQ(held_out(2), (std::vector<int64_t>{1}));
    EXPECT_EQ(held_out(7), (std::vector<int64_t>{6}));
    EXPECT_EQ(held_out(20), (std::vector<int64_t>{7, 15}));
}

// [n_tokens, n] of every window.
std::vector<std::vector<float>> inputs_of(Calibration& calibration, InputSite site,
                                          kernels::Backend& backend) {
    std::vector<std::vector<float>> windows;
    calibration.for_inputs(site, [&](const kernels::Rows& rows) {
        std::vector<float>& window = windows.emplace_back(rows.rows * rows.cols);
        for (int64_t row = 0; row < rows.rows; ++row) {
            download_row(rows, row, backend, std::span(window).subspan(row * rows.cols, rows.cols));
        }
    });
    return windows;
}

// The sum of a b^T over the tokens of one window.
void add_products(const std::vector<float>& a, const std::vector<float>& b, int64_t n,
                  std::vector<double>& sums) {
    sums.resize(n * n);
    for (size_t token = 0; token < a.size(); token += n) {
        for (int64_t i = 0; i < n; ++i) {
            for (int64_t j = 0; j < n; ++j) {
                sums[i * n + j] += static_cast<double>(a[token + i]) * b[token + j];
            }
        }
    }
}

void expect_near(const std::vector<double>& found, const std::vector<double>& expected) {
    ASSERT_EQ(found.size(), expected.size());
    double largest = 0.0;
    for (const double value : expected) largest = std::max(largest, std::fabs(value));
    for (size_t i = 0; i < found.size(); ++i) {
        ASSERT_NEAR(found[i], expected[i], kLimit * largest) << i;
    }
}

TEST_F(CalibrationTest, MomentsAreOfBothStreamsAndKeepWindowsHeldOutApart) {
    test::write_tiny_model(in, {.seed = 8});
    const folder::SourceModel source = folder::SourceModel::open(in);
    Recipe recipe = named_recipe("rtn");
    recipe.calibration.activations = CalibrationActivations::Quantized;
    const rotate::Rotation rotation = rotate::make_rotation(recipe.rotation, source.config());
    ThreadPool pool(1);
    const auto backend = kernels::make_backend("cpu", {.n_threads = 2});
    Calibration quantized(source.config(), recipe, "tiny", three_windows(), *backend);
    Calibration exact(source.config(), full_precision_recipe(), "tiny", three_windows(), *backend);
    const auto both = [&](const auto& run) {
        run(quantized);
        run(exact);
    };
    both([&](Calibration& stream) {
        stream.embed(RotatedWeight(linear_source(source, {LinearRole::Embedding}, recipe, rotation),
                                   rotation, source.config(), pool),
                     [](std::span<float>) {});
        for (const model::NormRole role : norms_of(source.config(), 0)) {
            stream.set_norm(role, source.norm_gain(role, 0));
        }
    });
    for (const model::SiteRule& site : sites_of(source.config(), 0)) {
        SCOPED_TRACE(site.name);
        const SiteMoments found = moments_of(quantized, exact, site.site, *backend);
        const auto own = inputs_of(quantized, site.site, *backend);
        const auto other = inputs_of(exact, site.site, *backend);
        EXPECT_NE(own, other);
        const int64_t n = std::ssize(own[0]) / 20;
        Moments fitted, held_out;
        for (const size_t w : {0, 1, 2}) {
            Moments& moments = w == 2 ? held_out : fitted;
            add_products(own[w], own[w], n, moments.own);
            add_products(other[w], own[w], n, moments.cross);
        }
        expect_near(found.fitted.own, fitted.own);
        expect_near(found.fitted.cross, fitted.cross);
        expect_near(found.held_out.own, held_out.own);
        expect_near(found.held_out.cross, held_out.cross);
        EXPECT_EQ(found.fitted.n_tokens, 40);
        EXPECT_EQ(found.held_out.n_tokens, 20);
        both([&](Calibration& stream) { set_linears(stream, source, site, 0); });
    }
}

}  // namespace
}  // namespace quarot::quantize
