// Embeddings in codes, and tied models that stay tied under a rotation: what lies in the folder,
// and which folders are refused.
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <functional>
#include <string>

#include "core/expect_error.h"
#include "folder/source_model.h"
#include "model/role_formats.h"
#include "quantize/folder_fixture_for_tests.h"
#include "quantize/quantize_model.h"
#include "rotate/rotation.h"

namespace quarot::quantize {
namespace {

using folder::SourceModel;
using model::LinearId;
using model::LinearRole;

constexpr LinearId kEmbedding = {LinearRole::Embedding}, kHead = {LinearRole::LmHead};

Recipe outer_recipe(int bits, int64_t group_size = 0) {
    Recipe recipe = named_recipe("quarot-rtn");
    recipe.head_bits = recipe.embedding_bits = bits;
    recipe.head_group_size = group_size;
    recipe.tied_rotation = true;
    return recipe;
}

std::vector<float> values_of(const QuantizedMatrix& codes) {
    std::vector<float> values(static_cast<size_t>(codes.rows * codes.cols));
    for (int64_t row = 0; row < codes.rows; ++row) {
        codes.dequantize_row(row, std::span(values).subspan(static_cast<size_t>(row * codes.cols),
                                                            static_cast<size_t>(codes.cols)));
    }
    return values;
}

// Each within half a step of its row or group.
void expect_rounded(const std::vector<float>& expected, const QuantizedMatrix& codes) {
    const std::vector<float> found = values_of(codes);
    ASSERT_EQ(found.size(), expected.size());
    const int64_t size = codes.group_size == 0 ? codes.cols : codes.group_size;
    for (size_t i = 0; i < found.size(); ++i) {
        const auto at = static_cast<int64_t>(i);
        const float scale = codes.scale(at / codes.cols, at % codes.cols / size);
        // A searched clip ratio may leave the largest further out.
        const float largest = scale * static_cast<float>((1 << (codes.bits - 1)) - 1);
        if (std::fabs(expected[i]) > largest) continue;
        ASSERT_NEAR(found[i], expected[i], 0.502f * scale) << i;
    }
}

using TiedFolder = FolderTest;

TEST_F(TiedFolder, OneMatrixOfCodesServesBothReaders) {
    write({.hidden = 48, .tied = true});
    for (const auto& [bits, group_size] : {std::pair{8, int64_t{0}}, {8, 16}, {4, 8}}) {
        SCOPED_TRACE(fmt::format("{} bits, groups of {}", bits, group_size));
        QuantizeOptions options = with_recipe(outer_recipe(bits, group_size), 2);
        options.overwrite = true;
        const QuantizeReport report = quantize_model(in, out, options);
        EXPECT_EQ(report.layers.back().name, "model.embed_tokens");
        EXPECT_EQ(report.layers.back().bits, bits);
        const SourceModel result = SourceModel::open(out);
        EXPECT_TRUE(result.config().tied_embeddings);
        for (const std::string& name : result.checkpoint().names()) {
            EXPECT_FALSE(name.starts_with("lm_head")) << name;
        }
        EXPECT_FALSE(result.checkpoint().contains("model.embed_tokens.weight"));
        const QuantizedMatrix embedding = result.quantized(kEmbedding);
        EXPECT_EQ(embedding.group_size, group_size);
        EXPECT_EQ(values_of(embedding), values_of(result.quantized(kHead)));

        const SourceModel source = SourceModel::open(in);
        std::vector<float> expected = floats_of(source.dense(kEmbedding));
        const auto rotation = rotate::make_rotation(result.recipe().rotation, source.config());
        for (size_t i = 0; i < expected.size(); ++i) {
            expected[i] *= static_cast<float>(rotation.signs[i % rotation.signs.size()]);
        }
        expect_rounded(expected, embedding);
        EXPECT_EQ(result.norm_gain(model::NormRole::Final, 0),
                  source.norm_gain(model::NormRole::Final, 0));
    }
}

TEST_F(TiedFolder, AnUntiedModelHasBothInCodesOfTheirOwn) {
    write({.hidden = 48});
    quantize_model(in, out, with_recipe(outer_recipe(8)));
    const SourceModel result = SourceModel::open(out);
    EXPECT_FALSE(result.config().tied_embeddings);
    const SourceModel source = SourceModel::open(in);
    const auto rotation = rotate::make_rotation(result.recipe().rotation, source.config());
    const auto rotated = [&](const LinearId& id, std::span<const double> gain) {
        const std::vector<float> stored = floats_of(source.dense(id));
        std::vector<double> wide(stored.begin(), stored.end());
        rotate_input(rotation, model::Basis::Residual, source.config(), gain, wide,
                     source.config().vocab);
        return std::vector<float>(wide.begin(), wide.end());
    };
    const std::vector<float> gain = source.norm_gain(model::NormRole::Final, 0);
    const std::vector<double> folded(gain.begin(), gain.end());
    expect_rounded(rotated(kEmbedding, {}), result.quantized(kEmbedding));
    expect_rounded(rotated(kHead, folded), result.quantized(kHead));
    EXPECT_EQ(result.norm_gain(model::NormRole::Final, 0), std::vector<float>(48, 1.0f));
}

TEST_F(TiedFolder, OtherWidthsOrAnUntyingRecipePartTheMatrix) {
    write({.hidden = 48, .tied = true});
    const auto is_tied = [&](const Recipe& recipe) {
        QuantizeOptions options = with_recipe(recipe);
        options.overwrite = true;
        quantize_model(in, out, options);
        return SourceModel::open(out).config().tied_embeddings;
    };
    EXPECT_TRUE(is_tied(outer_recipe(16)));
    Recipe other_widths = outer_recipe(8);
    other_widths.embedding_bits = 16;
    EXPECT_FALSE(is_tied(other_widths));
    Recipe untying = outer_recipe(8);
    untying.tied_rotation = false;
    EXPECT_FALSE(is_tied(untying));
    Recipe unrotated = named_recipe("rtn");
    unrotated.head_bits = unrotated.embedding_bits = 8;
    EXPECT_TRUE(is_tied(unrotated)) << "nothing is folded";
}

TEST_F(TiedFolder, AFolderWhoseMatrixCannotBeBothIsRefused) {
    write({.hidden = 48, .tied = true});
    quantize_model(in, out, with_recipe(outer_recipe(8)));
    const std::string path = out + "/config.json";
    const io::Json good = io::Json::parse_file(path);
    const auto expect_refused = [&](const std::string& text,
                                    const std::function<void(io::Json&)>& change) {
        io::Json bad = good;
        io::Json quantization = bad.at("quantization_config");
        change(quantization);
        bad.set("quantization_config", quantization);
        std::ofstream(path) << bad.dump();
        expect_error(ErrorCode::Corrupt, {text}, [&] { SourceModel::open(out); });
    };
    expect_refused("embedding of 4", [](io::Json& q) { q.set("embedding_bits", 4); });
    expect_refused("lm_head of 16", [](io::Json& q) { q.set("head_bits", 16); });
    expect_refused("tied_rotation", [](io::Json& q) { q.set("tied_rotation", false); });
    expect_refused("tied_rotation", [](io::Json& q) {
        io::Json rotation = q.at("rotation");
        rotation.set("residual", "random");
        q.set("rotation", rotation);
    });
    expect_refused("head_group_size", [](io::Json& q) { q.set("head_group_size", 36); });
    expect_refused("head_group_size", [](io::Json& q) { q.set("head_group_size", -4); });
    expect_refused("model.embed_tokens.weight_scale",
                   [](io::Json& q) { q.set("head_group_size", 16); });
    expect_refused("model.embed_tokens.weight_packed", [](io::Json& q) {
        q.set("embedding_bits", 4);
        q.set("head_bits", 4);
    });
    expect_refused("model.embed_tokens.weight", [](io::Json& q) {
        q.set("embedding_bits", 16);
        q.set("head_bits", 16);
    });
}

}  // namespace
}  // namespace quarot::quantize
