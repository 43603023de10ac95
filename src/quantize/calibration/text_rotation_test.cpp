// What a rotation found on a text does to a folder, and to a job that is stopped.
#include "quantize/calibration/text_rotation.h"

#include <gtest/gtest.h>

#include <cmath>
#include <span>

#include "core/expect_error.h"
#include "io/hash.h"
#include "kernels/backend.h"
#include "quantize/folder_fixture_for_tests.h"
#include "quantize/provenance.h"

namespace quarot::quantize {
namespace {

using FoundOnText = FolderTest;

// Different seeds, different texts.
TokenWindows text_windows(int seed = 0) {
    TokenWindows all;
    for (int w = 0; w < 3; ++w) {
        auto& window = all.emplace_back();
        for (int i = 0; i < 40; ++i) window.push_back((w * 91 + i * i * (7 + seed) + 3 * i) % 250);
    }
    return all;
}

QuantizeOptions aligned(int n_threads = 1, int seed = 0) {
    QuantizeOptions options = with_recipe("quarot-rtn", n_threads);
    set_rotation(options.recipe, "aligned");
    options.recipe.activations.group_size = 16;
    options.recipe.rotation.aligned_values = true;
    options.recipe.rotation.up_balance = 1.0;
    options.calibration = text_windows(seed);
    return options;
}

rotate::Rotation found(const std::string& folder, const QuantizeOptions& options) {
    const auto source = folder::SourceModel::open(folder);
    ThreadPool pool(options.n_threads);
    const auto backend = kernels::make_backend("cpu", {.n_threads = options.n_threads});
    auto rotation = rotate::make_rotation(options.recipe.rotation, source.config());
    find_rotation(source, options.recipe, options.calibration, pool, *backend, rotation);
    return rotation;
}

TEST_F(FoundOnText, IsTheSameBitsForAnyNumberOfThreads) {
    write({.attention_bias = true});
    quantize_model(in, out, aligned(1));
    quantize_model(in, dir / "three", aligned(3));
    EXPECT_TRUE(files_of(out) == files_of(dir / "three"));
    quantize_model(in, dir / "other", aligned(1, 2));
    EXPECT_FALSE(files_of(out).at("model.safetensors") ==
                 files_of(dir / "other").at("model.safetensors"))
        << "another text, another rotation";
}

// Every embedding row is nearly the same, and attention adds nothing to it.
TEST_F(FoundOnText, PutsWhatAllTokensShareIntoTheFirstGroup) {
    auto model = test::make_tiny_model({.hidden = 64, .n_layers = 1});
    auto& table = model.tensors.at("model.embed_tokens.weight");
    std::vector<float> rows = test::values_of(table);
    for (size_t i = 0; i < rows.size(); ++i)
        rows[i] = 0.05f * rows[i] + (i % 64 == 5 ? 1.0f : 0.0f);
    table = test::make_stored_tensor(DType::F32, table.shape, rows);
    auto& o_proj = model.tensors.at("model.layers.0.self_attn.o_proj.weight");
    o_proj = test::make_stored_tensor(DType::F32, o_proj.shape, std::vector<float>(64 * 32));
    test::write_model(model, in);
    const rotate::Rotation rotation = found(in, aligned());
    double first_group = 0.0;
    for (size_t row = 0; row < 16; ++row) {
        const double of_five = rotation.residual_dense[row * 64 + 5];
        first_group += of_five * of_five;
    }
    EXPECT_GT(first_group, 0.9) << "the share of coordinate 5 there";
}

TEST_F(FoundOnText, StandsInTheProvenanceByItsDigest) {
    write({});
    quantize_model(in, out, aligned());
    const io::Json told = io::Json::parse(files_of(out).at("quarot.json"), "quarot.json");
    const io::Json& r1 = told.at("rotation").at("R1");
    EXPECT_EQ(r1.at("kind").as_string(), "aligned");
    const rotate::Rotation rotation = found(in, aligned());
    EXPECT_EQ(r1.at("sha256").as_string(),
              io::sha256_of_bytes(std::as_bytes(std::span(rotation.residual_dense))));
    EXPECT_EQ(folder::SourceModel::open(out).recipe().rotation.residual, ResidualRotation::Aligned);
}

QuantizeOptions found_parts(bool values, double balance) {
    QuantizeOptions options = with_recipe(rotated_only());
    set_rotation(options.recipe, values ? "r2" : "none");
    options.recipe.rotation.aligned_values = values;
    options.recipe.rotation.up_balance = balance;
    options.calibration = text_windows();
    return options;
}

// One direction a KV head, by a bias far larger than what tokens add: each query head reads it.
TEST_F(FoundOnText, TurnsTheDirectionOfAKvHeadIntoALevel) {
    auto model = test::make_tiny_model({.n_layers = 1, .attention_bias = true});
    auto& bias = model.tensors.at("model.layers.0.self_attn.v_proj.bias");
    std::vector<float> values(16);
    values[3] = values[8 + 5] = 100.0f;
    bias = test::make_stored_tensor(DType::F32, bias.shape, values);
    test::write_model(model, in);
    const rotate::Rotation rotation = found(in, found_parts(true, 0.0));
    ASSERT_EQ(rotation.value_heads.size(), 1U);
    for (size_t i = 0; i < 8; ++i) {
        EXPECT_NEAR(std::fabs(rotation.value_heads[0][i * 8 + 3]), 1 / std::sqrt(8), 0.03) << i;
        EXPECT_NEAR(std::fabs(rotation.value_heads[0][64 + i * 8 + 5]), 1 / std::sqrt(8), 0.03);
    }
}

TEST_F(FoundOnText, NamesTheLayerWhereSquaresExceedFp32) {
    auto model = test::make_tiny_model({.n_layers = 1, .attention_bias = true});
    auto& bias = model.tensors.at("model.layers.0.self_attn.v_proj.bias");
    bias = test::make_stored_tensor(DType::F32, bias.shape, std::vector<float>(16, 1e20f));
    test::write_model(model, in);
    expect_error(ErrorCode::Numeric, {"layer 0", "o_proj", "squares"},
                 [&] { found(in, found_parts(true, 0.0)); });
}

// Of hidden unit 0 of the last layer: down's column times 16, and up's row, too.
TEST_F(FoundOnText, ScalesUpByTheFourthRootOfWhatDownHasAndReads) {
    const auto scales_with = [&](float of_column, float of_row) {
        auto model = test::make_tiny_model({});
        const std::string mlp = "model.layers.1.mlp.";
        const auto times = [&](const std::string& name, float factor, auto counts) {
            auto& tensor = model.tensors.at(mlp + name);
            std::vector<float> values = test::values_of(tensor);
            for (size_t i = 0; i < values.size(); ++i) values[i] *= counts(i) ? factor : 1.0f;
            tensor = test::make_stored_tensor(DType::F32, tensor.shape, values);
        };
        times("down_proj.weight", of_column, [](size_t i) { return i % 48 == 0; });
        times("up_proj.weight", of_row, [](size_t i) { return i < 32; });
        const std::string folder = dir / fmt::format("{}-{}", of_column, of_row);
        test::write_model(model, folder);
        const auto scales = found(folder, found_parts(false, 1.0)).up_scales;
        EXPECT_EQ(scales.size(), 2U);
        return scales.at(1)[0] / scales.at(1)[1];
    };
    const double as_it_is = scales_with(1.0f, 1.0f);
    EXPECT_NEAR(scales_with(16.0f, 1.0f) / as_it_is, 4.0, 1e-6);
    EXPECT_NEAR(scales_with(1.0f, 16.0f) / as_it_is, 0.25, 1e-6);
}

TEST_F(FoundOnText, DividesDownsColumnsByWhatMultipliesUpsRowsAndBias) {
    write({.mlp_bias = true});
    const QuantizeOptions options = found_parts(false, 1.0);
    const rotate::Rotation rotation = found(in, options);
    quantize_model(in, out, options);
    const std::string mlp = "model.layers.1.mlp.";
    const auto ratio = [&](const std::string& name, size_t i) {
        return tensor_of(out, mlp + name)[i] / tensor_of(in, mlp + name)[i];
    };
    for (size_t unit = 0; unit < 48; ++unit) {
        const double scale = rotation.up_scales.at(1)[unit];
        EXPECT_NEAR(ratio("up_proj.weight", unit * 32 + 7), scale, 1e-6 * scale);
        EXPECT_NEAR(ratio("up_proj.bias", unit), scale, 1e-6 * scale);
        EXPECT_NEAR(ratio("down_proj.weight", 48 * 5 + unit), 1.0 / scale, 1e-6 / scale);
    }
    EXPECT_EQ(tensor_of(in, mlp + "gate_proj.weight"), tensor_of(out, mlp + "gate_proj.weight"));
    const io::Json told = io::Json::parse(files_of(out).at("quarot.json"), "quarot.json");
    EXPECT_EQ(told.at("rotation").at("up_scales_sha256").as_string().size(), 64U);
}

TEST_F(FoundOnText, NeedsATextAndSaysSo) {
    write({});
    QuantizeOptions options = aligned();
    options.calibration.clear();
    expect_error(ErrorCode::Usage, {"finds rotations", "calibration_text"},
                 [&] { quantize_model(in, out, options); });
}

}  // namespace
}  // namespace quarot::quantize
