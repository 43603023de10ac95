// Folders whose weights are refitted: the same bytes whatever the threads and however often the
// work stopped, told of in quarot.json, and nearer to the original.
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/watch.h"
#include "quantize/folder_fixture_for_tests.h"
#include "quantize/quantize_model.h"

namespace quarot::quantize {
namespace {

class RefitTest : public FolderTest {
  protected:
    RefitTest() { write({.hidden = 64, .ffn = 96, .n_heads = 4, .head_dim = 16, .seed = 3}); }

    static QuantizeOptions options(int n_threads = 1) {
        QuantizeOptions options = with_recipe("quarot", n_threads);
        Recipe& recipe = options.recipe;
        recipe.weights.group_size = recipe.activations.group_size = 16;
        recipe.weights.act_order = true;
        recipe.weights.target = WeightTarget::Refit;
        recipe.calibration.activations = CalibrationActivations::Quantized;
        for (int32_t w = 0; w < 9; ++w) {
            std::vector<int32_t>& window = options.calibration.emplace_back();
            for (int32_t i = 0; i < 64; ++i) window.push_back((i * i * 31 + i * w + 7 * w) % 256);
        }
        return options;
    }
};

TEST_F(RefitTest, GivesTheSameBytesForAnyThreadsAndHoweverOftenItStops) {
    quantize_model(in, dir / "alone", options());
    const Files expected = files_of(dir / "alone");
    quantize_model(in, dir / "three", options(3));
    EXPECT_TRUE(files_of(dir / "three") == expected);
    const ProgressCallback after_a_layer = [&](const ProgressEvent&) {
        return !std::filesystem::exists(out + ".work/layer-00000.safetensors");
    };
    {
        const Watch watch(after_a_layer);
        EXPECT_THROW(quantize_model(in, out, options()), Error);
    }
    QuantizeOptions resumed = options();
    resumed.resume = true;
    quantize_model(in, out, resumed);
    EXPECT_TRUE(files_of(out) == expected);
}

TEST_F(RefitTest, TellsHowMuchOfItEachLinearTook) {
    const QuantizeReport report = quantize_model(in, out, options());
    size_t n_refitted = 0, n_quantized = 0;
    const io::Json json = io::Json::parse_file(out + "/quarot.json");
    const io::Json::Array& layers = json.at("layers").as_array();
    ASSERT_EQ(layers.size(), report.layers.size());
    for (size_t i = 0; i < layers.size(); ++i) {
        if (report.layers[i].weights == 0) continue;  // lm_head
        ++n_quantized;
        ASSERT_TRUE(report.layers[i].refit.has_value()) << report.layers[i].name;
        const double share = *report.layers[i].refit;
        EXPECT_TRUE(share >= 0.0 && share <= 0.25) << share;
        EXPECT_EQ(layers[i].at("refit").as_double(), share);
        n_refitted += share > 0.0 ? 1 : 0;
    }
    EXPECT_EQ(n_quantized, 14u);
    EXPECT_GT(n_refitted, n_quantized / 2);
    QuantizeOptions farther = options();
    farther.recipe.weights.refit_share = 1.0;
    farther.overwrite = true;
    EXPECT_GT(quantize_model(in, out, farther).layers.front().refit, 0.25);
    QuantizeOptions stored = options();
    stored.recipe.weights.target = WeightTarget::Stored;
    stored.overwrite = true;
    EXPECT_FALSE(quantize_model(in, out, stored).layers.front().refit.has_value());
}

}  // namespace
}  // namespace quarot::quantize
