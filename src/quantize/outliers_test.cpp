// Columns kept apart: which they are, what they cost, and that a folder with them repeats.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <limits>

#include "model/role_formats.h"
#include "quantize/calibration/outlier_columns.h"
#include "quantize/file_limit_for_tests.h"
#include "quantize/folder_fixture_for_tests.h"
#include "quantize/outlier_weights.h"
#include "quantize/quantized_tensors.h"
#include "quantize/rounding/rtn.h"

namespace quarot::quantize {
namespace {

using model::LinearRole;
using Order = std::vector<int32_t>;
using Outliers = FolderTest;

TEST(OrderColumns, LargestStandLastAndTheOthersKeepTheirOrder) {
    const std::vector<double> measures = {5.0, 1.0, 9.0, 0.5, 7.0, 2.0};
    EXPECT_EQ(order_columns(measures, 2, false), (Order{0, 1, 3, 5, 2, 4}));
    EXPECT_EQ(order_columns(measures, 0, false), (Order{0, 1, 2, 3, 4, 5}));
}

TEST(OrderColumns, SortedAllStandByRisingMeasure) {
    const std::vector<double> measures = {5.0, 1.0, 9.0, 0.5, 7.0, 1.0};
    EXPECT_EQ(order_columns(measures, 2, true), (Order{3, 1, 5, 0, 4, 2}));
}

TEST(OrderColumns, OfEqualColumnsTheLastAreKeptApart) {
    EXPECT_EQ(order_columns(std::vector<double>(4, 1.0), 1, false), (Order{0, 1, 2, 3}));
}

TEST(ColumnOrderTest, OrdersRowsAndSquaresAlike) {
    const ColumnOrder order = {.columns = {2, 0, 1}};
    EXPECT_EQ(order.of_rows(std::vector<float>{1, 2, 3, 4, 5, 6}),
              (std::vector<float>{3, 1, 2, 6, 4, 5}));
    EXPECT_EQ(order.of_square(std::vector<double>{0, 1, 2, 10, 11, 12, 20, 21, 22}),
              (std::vector<double>{22, 20, 21, 2, 0, 1, 12, 10, 11}));
}

TEST(OutlierWeightsTest, OfEightBitsAreRoundedByTheRow) {
    const std::vector<float> values = {127.0f, 63.4f, -1.0f, 1.0f};
    const auto weights = round_outliers("w", values, 2, {.bits = 8, .clip_search = false});
    std::vector<float> row(2);
    widen_row(weights, 0, row);
    EXPECT_NEAR(row[0], 127.0f, 0.51f);
    EXPECT_NEAR(row[1], 63.4f, 0.51f);
    widen_row(weights, 1, row);
    EXPECT_NEAR(row[0], -1.0f, 0.005f);
}

TEST(OutlierWeightsTest, BeyondF16AreAnErrorThatNamesTheLinear) {
    const std::vector<float> values = {1.0f, 70000.0f};
    try {
        round_outliers("some.linear", values, 2, {.bits = 16});
        FAIL() << "no error";
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::Numeric);
        EXPECT_NE(std::string(error.what()).find("some.linear"), std::string::npos);
    }
}

// Hidden 32, FFN 48, groups of 16: 16 columns apart at every place; one at 1/32 without groups.
Recipe atom() {
    Recipe recipe = named_recipe("atom-128g");
    recipe.weights.group_size = recipe.activations.group_size = 16;
    return recipe;
}

QuantizeOptions calibrated(const Recipe& recipe, int n_threads = 1) {
    QuantizeOptions options = with_recipe(recipe, n_threads);
    for (int w = 0; w < 3; ++w) {
        auto& window = options.calibration.emplace_back();
        for (int i = 0; i < 40; ++i) window.push_back((w * 91 + i * i * 7 + 3 * i) % 250);
    }
    return options;
}

TEST(OutlierCount, IsTheShareAndWhatGroupsAsk) {
    const model::ModelConfig config = {.hidden = 4096, .ffn = 11008};
    const Recipe quik = named_recipe("quik-4b");
    EXPECT_EQ(n_outliers(quik, LinearRole::Q, config), 256);
    EXPECT_EQ(n_outliers(quik, LinearRole::Down, config), 512)
        << "twice, as 11008 holds 4096 twice";
    EXPECT_EQ(n_outliers(quik, LinearRole::O,
                         {.hidden = 4096, .ffn = 11008, .n_heads = 8, .head_dim = 64}),
              32)
        << "less than hidden: of what there is";
    const Recipe grouped = named_recipe("atom-128g");
    EXPECT_EQ(n_outliers(grouped, LinearRole::Q, config), 128);
    EXPECT_EQ(n_outliers(grouped, LinearRole::Down, config), 384);
    EXPECT_EQ(n_outliers(grouped, LinearRole::LmHead, config), 0);
    EXPECT_EQ(n_outliers(named_recipe("quarot"), LinearRole::Q, config), 0);
}

// A finished layer that is taken up again is as little to be believed as any other file.
TEST(LayerTensors, ThatNoQuantizerMakesAreCorrupt) {
    const auto expect_corrupt = [](const std::string& word, const auto& read) {
        try {
            read();
            ADD_FAILURE() << "no error about " << word;
        } catch (const Error& error) {
            EXPECT_EQ(error.code(), ErrorCode::Corrupt);
            EXPECT_NE(std::string(error.what()).find(word), std::string::npos) << error.what();
        }
    };
    std::vector<NamedTensor> tensors;
    tensors.push_back({"q.column_order", Tensor(DType::I32, {3})});
    const auto read_order = [&] { column_order_from(tensors, "q", 3); };
    auto* order = tensors[0].tensor.as<int32_t>();
    for (const int32_t wrong : {-1, 3, 1, std::numeric_limits<int32_t>::max()}) {
        std::copy_n(std::array{2, 1, wrong}.begin(), 3, order);
        expect_corrupt("q.column_order", read_order);
    }
    order[2] = 0;
    EXPECT_EQ(column_order_from(tensors, "q", 3), (Order{2, 1, 0}));
    expect_corrupt("q.column_order", [&] { column_order_from(tensors, "q", 4); });
    expect_corrupt("k.column_order", [&] { column_order_from(tensors, "k", 3); });

    const WeightFormat format = {.bits = 3, .symmetric = false};
    const std::vector<float> values = {1.0f, -1.0f, 0.5f, 0.25f};
    append_tensors("q", quantize_rtn({values, 2, 2}, format), tensors);
    const auto read_matrix = [&] { matrix_from(tensors, "q", 2, 2, format); };
    EXPECT_NO_THROW(read_matrix());
    for (NamedTensor& entry : tensors) {
        if (entry.name == "q.weight_zero_point") entry.tensor.as<uint8_t>()[1] = 8;
    }
    expect_corrupt("q.weight_zero_point", read_matrix);
    for (NamedTensor& entry : tensors) {
        if (entry.name == "q.weight_scale") entry.tensor.as<float>()[0] = -1.0f;
    }
    expect_corrupt("q.weight_scale", read_matrix);
}

TEST_F(Outliers, BitsPerWeightCountEverything) {
    write({});
    const QuantizeReport report = quantize_model(in, out, calibrated(named_recipe("quik-4b")));
    EXPECT_EQ(report.bits_per_weight, folder::SourceModel::open(out).bits_per_weight());
    // q_proj is [32, 32]: 30 columns of codes in 4 words a row, a scale; 2 columns in F16; an
    // order.
    const QuantizedLayerReport& q = report.layers.front();
    EXPECT_EQ(q.outliers, 2);
    EXPECT_EQ(q.weights, 32 * 32);
    EXPECT_EQ(q.bytes, 32 * (4 * 4 + 4 + 2 * 2) + 32 * 4);

    const QuantizeReport grouped = quantize_model(in, dir / "atom", calibrated(atom()));
    EXPECT_EQ(grouped.bits_per_weight, folder::SourceModel::open(dir / "atom").bits_per_weight());
    // 16 columns in one group of 4 bits with an F16 scale; 16 of 8 bits with an F32 scale.
    EXPECT_EQ(grouped.layers.front().bytes, 32 * (2 * 4 + 2) + 32 * (4 * 4 + 4) + 32 * 4);
}

TEST_F(Outliers, ThreadsChangeNoByte) {
    write({.attention_bias = true, .dtype = DType::BF16});
    for (const Recipe& recipe : {named_recipe("quik-4b"), atom()}) {
        quantize_model(in, dir / ("one-" + recipe.name), calibrated(recipe, 1));
        quantize_model(in, dir / ("three-" + recipe.name), calibrated(recipe, 3));
        EXPECT_TRUE(files_of(dir / ("one-" + recipe.name)) ==
                    files_of(dir / ("three-" + recipe.name)))
            << recipe.name;
    }
}

// The disk is full when the folder is put together; then the last layer is lost as well.
TEST_F(Outliers, AResumedJobGivesTheSameBytes) {
    write({.n_layers = 3, .vocab = 4096});
    for (const Recipe& recipe : {named_recipe("quik-4b"), atom()}) {
        const std::string resumed = dir / ("resumed-" + recipe.name);
        const std::string whole = dir / ("whole-" + recipe.name);
        quantize_model(in, whole, calibrated(recipe));
        QuantizeOptions options = calibrated(recipe);
        {
            const FileLimit limit(payload_bytes(whole + "/model.safetensors"));
            EXPECT_THROW(quantize_model(in, resumed, options), Error);
        }
        ASSERT_TRUE(std::filesystem::remove(resumed + ".work/layer-00002.safetensors"));
        options.resume = true;
        quantize_model(in, resumed, options);
        EXPECT_TRUE(files_of(resumed) == files_of(whole)) << recipe.name;
    }
}

TEST_F(Outliers, RoundedToNearestTheyAreTheColumnsThemselves) {
    write({});
    Recipe recipe = named_recipe("quik-4b");
    recipe.weights.method = "rtn";
    quantize_model(in, out, calibrated(recipe));
    const auto source = folder::SourceModel::open(out);
    const auto order = source.column_order({LinearRole::Down, 1});
    const std::string name = "model.layers.1.mlp.down_proj";
    const auto weight = tensor_of(in, name + ".weight");
    const auto kept = tensor_of(out, name + ".outlier.weight");
    ASSERT_EQ(std::ssize(kept), 32 * 2);
    for (size_t r = 0; r < 32; ++r) {
        for (size_t c = 0; c < 2; ++c) {
            const float w = weight[r * 48 + static_cast<size_t>(order[46 + c])];
            EXPECT_NEAR(kept[r * 2 + c], w, 1e-3f * std::abs(w)) << r << ' ' << c;
        }
    }
}

TEST_F(Outliers, ImpossibleRecipesAreUsageErrors) {
    write({});
    const auto expect_usage = [&](const Recipe& recipe, const std::string& word) {
        try {
            quantize_model(in, out, calibrated(recipe));
            ADD_FAILURE() << "no error about " << word;
        } catch (const Error& error) {
            EXPECT_EQ(error.code(), ErrorCode::Usage);
            EXPECT_NE(std::string(error.what()).find(word), std::string::npos) << error.what();
        }
    };
    Recipe recipe = atom();
    recipe.weights.group_size = recipe.activations.group_size = 32;
    expect_usage(recipe, "`weights.group_size`");  // 48 inputs of down_proj
    recipe = atom();
    recipe.weights.bits = 16;
    expect_usage(recipe, "`weights.bits`");
    recipe = atom();
    recipe.calibration.activations = CalibrationActivations::Quantized;
    expect_usage(recipe, "`calibration.activations`");
    recipe = atom();
    recipe.outliers.share = 0.6;
    expect_usage(recipe, "0.5");
    in = dir / "wide";
    write({.ffn = 64});
    recipe = atom();
    recipe.weights.group_size = recipe.activations.group_size = 32;
    expect_usage(recipe, "apart");  // groups of 32 leave none of 32
    EXPECT_FALSE(std::filesystem::exists(out));
}

}  // namespace
}  // namespace quarot::quantize
